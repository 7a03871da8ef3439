// Binds the n-grams of a text: counting them, and passing them to the kernels.
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "count_ngrams.hpp"
#include "gil.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

// Offsets divide `count` items among the contexts, in order. There is one more offset than there
// are contexts.
void require_offsets(const In<std::uint32_t>& offsets, std::size_t contexts, std::uint32_t first,
                     std::size_t last) {
  require_length(offsets, contexts + 1,
                 "children and followers must have one entry more than there are contexts");
  require(offsets.data()[0] == first && offsets.data()[contexts] == last,
          "children and followers must end with the number of contexts and of followers");
  for (std::size_t i = 1; i <= contexts; ++i)
    require(offsets.data()[i - 1] <= offsets.data()[i],
            "children and followers must be ascending");
}

// The ids of each context's children or followers, which `offsets` divides, are searched.
void require_ids(const In<std::uint32_t>& ids, const In<std::uint32_t>& offsets, std::size_t K) {
  for (std::size_t i = 0; i < ids.size(); ++i) require(ids.data()[i] < K, "an id is not below K");
  for (std::size_t c = 0; c + 1 < offsets.size(); ++c)
    for (std::uint32_t i = offsets.data()[c] + 1; i < offsets.data()[c + 1]; ++i)
      require(ids.data()[i - 1] < ids.data()[i],
              "the ids of a context's children and followers must be ascending");
}

// A child comes after its parent, so that no context is its own ancestor.
void require_tree(const In<std::uint32_t>& children, std::size_t contexts) {
  for (std::size_t c = 0; c < contexts; ++c)
    require(children.data()[c] > c, "the children of a context must come after it");
}

// A factor of 0 would make a probability 0.
void require_probabilities(const In<float>& values, std::size_t columns, std::size_t count,
                           bool positive) {
  require(values.ndim() == 2 && values.shape(0) == columns && values.shape(1) == count,
          "shares and factors must have one row per column");
  for (std::size_t i = 0; i < values.size(); ++i)
    require(values.data()[i] <= 1 && (positive ? values.data()[i] > 0 : values.data()[i] >= 0),
            "a share or factor is not a probability");
}

// Return a NumPy array that owns the values.
template <typename T>
nb::object array_of(std::vector<T>&& values) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(owned->data(), {owned->size()}, owner));
}

// Return the columns as the rows of one NumPy array.
nb::object rows_of(std::vector<std::vector<float>>&& columns) {
  std::vector<float> all;
  all.reserve(columns.size() * columns.front().size());
  for (std::vector<float>& column : columns) {
    all.insert(all.end(), column.begin(), column.end());
    std::vector<float>().swap(column);  // so that the values are not twice in memory
  }
  return nb::object(array_of(std::move(all)).attr("reshape")(columns.size(), -1));
}

// Return the segments, which must be in order, lie in the text and not be empty.
std::vector<TextSegment> segments_of(const In<std::int64_t>& segments, std::size_t count) {
  require(segments.ndim() == 2 && segments.shape(1) == 2, "segments must have the shape (S, 2)");
  std::vector<TextSegment> found;
  std::int64_t end = 0;
  for (std::size_t i = 0; i < segments.shape(0); ++i) {
    const std::int64_t from = segments.data()[2 * i], to = segments.data()[2 * i + 1];
    require(from >= end && to > from && static_cast<std::size_t>(to) <= count,
            "segments must be in order, lie in the text and not be empty");
    found.push_back({static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)});
    end = to;
  }
  return found;
}

nb::tuple count_text(Bytes ids, In<std::int64_t> segments, std::size_t K, int order, int parts,
                     std::uint32_t least, int free, std::size_t context_bytes,
                     std::size_t entry_bytes, std::size_t most_bytes, std::size_t most_memory,
                     int boundary) {
  const Tokens tokens = tokens_of(ids);
  require(K > 0 && K < most_characters, "K is out of range");
  require(order > 0 && order <= most_order, "the order must be from 1 to 64");
  require(boundary >= -1 && boundary < static_cast<int>(K), "the boundary of items must be -1 or below K");
  const auto characters = static_cast<std::uint32_t>(K);
  // So that contexts and entries have numbers of 32 bits.
  require(tokens.count < (std::size_t(1) << 31) / order, "the text is too long for this order");
  require(parts >= 0 && parts <= most_parts && least > 0 && free >= 0, "a limit is out of range");
  require(context_bytes < most_characters && entry_bytes < most_characters,
          "a context or an entry has too many bytes");
  for (std::size_t i = 0; i < tokens.count; ++i)
    require(tokens.id(i) < K, "an id is not below K");
  const std::vector<TextSegment> counted = segments_of(segments, tokens.count);
  CountedNGrams found;
  {
    WithoutGil released;
    found = count_ngrams(
        {tokens, counted, characters, boundary < 0 ? characters : static_cast<std::uint32_t>(boundary),
         order, parts, least, free, context_bytes,
         entry_bytes, most_bytes, most_memory});
  }
  return nb::make_tuple(array_of(std::move(found.children)), array_of(std::move(found.child_ids)),
                        array_of(std::move(found.followers)),
                        array_of(std::move(found.follower_ids)), rows_of(std::move(found.shares)),
                        rows_of(std::move(found.factors)));
}

}  // namespace

NGramTable::NGramTable(int order, std::size_t K, std::int64_t counted, In<std::uint32_t> children,
                       In<std::uint32_t> child_ids, In<std::uint32_t> followers,
                       In<std::uint32_t> follower_ids, In<float> shares, In<float> factors)
    : order(order),
      K(K),
      counted(counted),
      children_(std::move(children)),
      child_ids_(std::move(child_ids)),
      followers_(std::move(followers)),
      follower_ids_(std::move(follower_ids)),
      shares_(std::move(shares)),
      factors_(std::move(factors)) {
  require(order > 0 && order <= most_order, "the order must be from 1 to 64");
  require(child_ids_.ndim() == 1 && child_ids_.size() > 0 && follower_ids_.ndim() == 1,
          "child_ids and follower_ids must have one axis, and there must be a context");
  const std::size_t contexts = child_ids_.size(), entries = follower_ids_.size();
  require_offsets(children_, contexts, 1, contexts);
  require_offsets(followers_, contexts, 0, entries);
  require_tree(children_, contexts);
  require_ids(child_ids_, children_, K);
  require_ids(follower_ids_, followers_, K);
  const std::size_t columns = factors_.ndim() == 2 ? factors_.shape(0) : 0;
  require(columns > 0 && columns <= most_parts + 1, "there must be 1 to 256 columns");
  require(counted >= 0 && counted < most_place && (columns > 1 || counted == 0),
          "counted must be at least 0, and 0 without parts");
  require_probabilities(factors_, columns, contexts, true);
  require_probabilities(shares_, columns, entries, false);
}

NGrams NGramTable::view() const {
  return {order,
          static_cast<int>(factors_.shape(0)),
          counted,
          children_.data(),
          child_ids_.data(),
          followers_.data(),
          follower_ids_.data(),
          shares_.data(),
          factors_.data(),
          child_ids_.size(),
          follower_ids_.size()};
}

void bind_ngrams(nb::module_& m) {
  nb::class_<NGramTable>(m, "NGrams", "The n-grams of a text, for the kernels.")
      .def(nb::init<int, std::size_t, std::int64_t, In<std::uint32_t>, In<std::uint32_t>,
                    In<std::uint32_t>, In<std::uint32_t>, In<float>, In<float>>(),
           nb::kw_only(), "order"_a, "K"_a, "counted"_a, "children"_a.noconvert(),
           "child_ids"_a.noconvert(), "followers"_a.noconvert(), "follower_ids"_a.noconvert(),
           "shares"_a.noconvert(), "factors"_a.noconvert())
      .def_ro("order", &NGramTable::order)
      .def_ro("K", &NGramTable::K)
      .def_ro("counted", &NGramTable::counted);
  m.def("count_ngrams", count_text, nb::kw_only(), "ids"_a.noconvert(), "segments"_a.noconvert(),
        "K"_a, "order"_a, "parts"_a, "least"_a, "free"_a, "context_bytes"_a, "entry_bytes"_a,
        "most_bytes"_a, "most_memory"_a, "boundary"_a = -1);
}

}  // namespace charloom
