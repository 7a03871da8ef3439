// Counts the n-grams of a text and smooths them (spec/mathematics.md: N-grams). Needs no particular
// instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace charloom {

// The counted n-grams, in the arrays of `NGrams`; shares and factors column after column.
struct CountedNGrams {
  std::vector<std::uint32_t> children, child_ids, followers, follower_ids;
  std::vector<std::vector<float>> shares, factors;  // of each column
};

// The ids from index `from` to before index `to`.
struct TextSegment {
  std::uint32_t from, to;
};

// What to count: the ids of a text, all below K; the segments of the text that count, in order; the
// order; the number of parts that the columns leave out; and how often a context of `free` or more
// characters must occur to be kept. No context goes back beyond a boundary of items. If the n-grams would have more than `most_bytes` bytes, a context
// of any length above 0 must occur at least m times, with the smallest m that fits. If counting would
// need more than `most_memory` bytes of memory, std::bad_alloc is thrown.
struct NGramCount {
  Tokens tokens;
  const std::vector<TextSegment>& segments;
  std::uint32_t K;
  std::uint32_t boundary;  // the id at which items begin; K for a stream
  int order, parts;
  std::uint32_t least;
  int free;
  // An entry is a context with a character that follows it.
  std::size_t context_bytes, entry_bytes, most_bytes, most_memory;
};

CountedNGrams count_ngrams(const NGramCount& what);

}  // namespace charloom
