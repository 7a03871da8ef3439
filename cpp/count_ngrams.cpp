// The counting goes from short contexts to long ones. For each length it holds the positions of the
// text, grouped by the context before them, and within a context ordered by the character there.
// Sorting each group by the character before the context gives the contexts that are one longer.
#include "count_ngrams.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <new>
#include <utility>

namespace charloom {

namespace {

constexpr std::size_t few = 24;  // groups up to this size are sorted by insertion

template <typename Id>
class Counter {
 public:
  explicit Counter(const NGramCount& what)
      : what_(what),
        ids_(static_cast<const Id*>(what.tokens.at)),
        columns_(what.parts + 1),
        begins_(what.tokens.count, false),
        places_(what.K + 1),
        follower_of_(what.K) {
    for (const TextSegment& segment : what.segments) begins_[segment.from] = true;
    result_.shares.resize(columns_);
    result_.factors.resize(columns_);
  }

  // Count the n-grams. Return false if they have more than `most_bytes` bytes.
  bool run() {
    order_positions_by_id();
    starts_ = {0, count_};
    for (length_ = 0; length_ < what_.order && starts_.size() > 1; ++length_) {
      if (!count_level()) return false;
      smooth_level();
      first_context_ += starts_.size() - 1;
      positions_.swap(next_positions_);
      starts_.swap(next_starts_);
    }
    result_.children.push_back(static_cast<std::uint32_t>(first_context_));
    result_.followers.push_back(static_cast<std::uint32_t>(result_.follower_ids.size()));
    return true;
  }

  CountedNGrams take() { return std::move(result_); }

  // Return how often each context above length 0 must occur, so that the n-grams have at most
  // `most_bytes` bytes. Only for a counter that never runs.
  std::uint32_t least_that_fits() {
    std::map<std::uint32_t, std::size_t> bytes;  // of the contexts that occur so often
    order_positions_by_id();
    starts_ = {0, count_};
    for (length_ = 0; length_ < what_.order && starts_.size() > 1; ++length_) {
      next_positions_.clear();
      next_starts_.assign(1, 0);
      for (std::size_t c = 0; c + 1 < starts_.size(); ++c) {
        const std::uint32_t occurrences = starts_[c + 1] - starts_[c];
        bytes[length_ == 0 ? never : occurrences] += size_of(starts_[c], starts_[c + 1]);
        if (length_ + 1 == what_.order) continue;
        sort_by_earlier(starts_[c], starts_[c + 1]);
        keep_groups();
      }
      positions_.swap(next_positions_);
      starts_.swap(next_starts_);
    }
    std::size_t total = 0;
    for (auto place = bytes.rbegin(); place != bytes.rend(); ++place) {
      total += place->second;
      if (total > what_.most_bytes && place->first != never) return place->first + 1;
    }
    return what_.least;
  }

 private:
  static constexpr std::uint32_t never = ~0u;  // a number of occurrences above every real one

  // Return the bytes of a context whose positions are those from index `from` to before `to`.
  std::size_t size_of(std::uint32_t from, std::uint32_t to) const {
    std::size_t entries = from < to;
    for (std::uint32_t i = from + 1; i < to; ++i)
      entries += ids_[positions_[i]] != ids_[positions_[i - 1]];
    return what_.context_bytes + what_.entry_bytes * entries;
  }

  // Make the sorted positions of a context the contexts of the next level that occur often enough.
  void keep_groups() {
    for (std::size_t i = 0, end = 0; i < sorted_.size(); i = end) {
      while (end < sorted_.size() && keys_[end] == keys_[i]) ++end;
      if (keys_[i] < what_.K && end - i >= what_.least) {
        next_positions_.insert(next_positions_.end(), sorted_.begin() + i, sorted_.begin() + end);
        next_starts_.push_back(static_cast<std::uint32_t>(next_positions_.size()));
      }
    }
  }
  // The character before the context of a position; K if the context begins its segment or an item.
  std::uint32_t earlier(std::uint32_t at) const {
    const std::uint32_t first = at - static_cast<std::uint32_t>(length_);
    const bool begins_item = length_ > 0 && ids_[first] == what_.boundary;
    return begins_item || begins_[first] ? what_.K : ids_[first - 1];
  }
  // A division is faster than a table, which would be read in random order.
  int part(std::uint32_t at) const {
    return static_cast<int>(std::uint64_t(at) * what_.parts / what_.tokens.count);
  }

  template <typename F>
  void each_position(F f) const {
    for (const TextSegment& segment : what_.segments)
      for (std::uint32_t at = segment.from; at < segment.to; ++at) f(at);
  }

  void order_positions_by_id() {
    std::vector<std::uint32_t> next(what_.K + 1, 0);
    each_position([&](std::uint32_t at) { ++next[ids_[at] + 1]; });
    for (std::uint32_t k = 0; k < what_.K; ++k) next[k + 1] += next[k];
    count_ = next[what_.K];
    positions_.resize(count_);
    each_position([&](std::uint32_t at) { positions_[next[ids_[at]]++] = at; });
  }

  // Count the followers of every context of this length, and find the contexts that are one longer.
  // Return false if the n-grams become too large.
  bool count_level() {
    const bool last = length_ + 1 == what_.order;
    const std::size_t contexts = starts_.size() - 1;
    first_entry_ = result_.follower_ids.size();
    counts_.clear();
    next_positions_.clear();
    next_starts_.assign(1, 0);
    std::uint32_t child = static_cast<std::uint32_t>(first_context_ + contexts);
    if (length_ == 0) result_.child_ids.push_back(0);  // the root has no last character
    for (std::size_t c = 0; c < contexts; ++c) {
      result_.followers.push_back(static_cast<std::uint32_t>(result_.follower_ids.size()));
      result_.children.push_back(child);
      list_followers(starts_[c], starts_[c + 1], last);
      if (result_.followers.size() * what_.context_bytes +
              result_.follower_ids.size() * what_.entry_bytes >
          what_.most_bytes)
        return false;
      if (needed_memory() > what_.most_memory) throw std::bad_alloc();
      if (last) continue;
      sort_by_earlier(starts_[c], starts_[c + 1]);
      child += count_groups();
    }
    return true;
  }

  // Return about how many bytes of memory are needed until the level so far is smoothed.
  std::size_t needed_memory() const {
    const std::size_t contexts = result_.followers.size(), entries = result_.follower_ids.size();
    const std::size_t growing =
        counts_.size() + entries * (1 + columns_) + contexts * (3 + columns_);
    // At the root, all positions are in positions_, next_positions_, sorted_ and keys_. The other arrays are
    // copied when they grow: measured, they need up to 1.5 times their size.
    return sizeof(std::uint32_t) * (4 * std::size_t(count_) + growing + growing / 2);
  }

  // List the characters that follow a context. In the last level, also count how often each occurs.
  void list_followers(std::uint32_t from, std::uint32_t to, bool count) {
    while (from < to) {
      const std::uint32_t id = ids_[positions_[from]];
      follower_of_[id] = static_cast<std::uint32_t>(result_.follower_ids.size() - first_entry_);
      result_.follower_ids.push_back(id);
      const std::size_t entry = counts_.size();
      counts_.resize(entry + columns_, 0);
      const std::uint32_t first = from;
      for (; from < to && ids_[positions_[from]] == id; ++from)
        if (count && what_.parts) ++counts_[entry + 1 + part(positions_[from])];
      if (!count) continue;
      counts_[entry] = from - first;
      for (int p = 1; p < columns_; ++p) counts_[entry + p] = from - first - counts_[entry + p];
    }
  }

  // Sort the positions of a context by the character before the context. Positions with the same
  // character keep their order.
  void sort_by_earlier(std::uint32_t from, std::uint32_t to) {
    const std::size_t size = to - from;
    sorted_.resize(size);
    keys_.resize(size);
    if (size <= few)
      sort_by_insertion(from);
    else if (size < what_.K / 16)
      sort_by_comparison(from);
    else
      sort_by_counting(from, to);
  }

  void sort_by_insertion(std::uint32_t from) {
    std::uint32_t *keys = keys_.data(), *sorted = sorted_.data();
    const std::size_t size = sorted_.size();
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint32_t at = positions_[from + i], key = earlier(at);
      std::size_t j = i;
      for (; j > 0 && keys[j - 1] > key; --j) {
        keys[j] = keys[j - 1];
        sorted[j] = sorted[j - 1];
      }
      keys[j] = key;
      sorted[j] = at;
    }
  }

  // With a large vocabulary, clearing the counts of all characters would take longer than this.
  void sort_by_comparison(std::uint32_t from) {
    pairs_.clear();
    for (std::size_t i = 0; i < sorted_.size(); ++i)
      pairs_.push_back({earlier(positions_[from + i]), positions_[from + i]});
    std::stable_sort(pairs_.begin(), pairs_.end(),
                     [](const Pair& a, const Pair& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      keys_[i] = pairs_[i].first;
      sorted_[i] = pairs_[i].second;
    }
  }

  void sort_by_counting(std::uint32_t from, std::uint32_t to) {
    std::fill(places_.begin(), places_.end(), 0);
    for (std::uint32_t i = from; i < to; ++i) ++places_[earlier(positions_[i])];
    std::uint32_t place = 0;
    for (std::uint32_t& entry : places_) place += std::exchange(entry, place);
    for (std::uint32_t i = from; i < to; ++i) {
      const std::uint32_t at = positions_[i], key = earlier(at), to_place = places_[key]++;
      keys_[to_place] = key;
      sorted_[to_place] = at;
    }
  }

  // Count, for each follower of a context, the different characters before the context. A group of
  // positions with the same character before becomes a context of the next level, if it occurs
  // often enough. Return how many do.
  std::uint32_t count_groups() {
    std::uint32_t children = 0;
    for (std::size_t i = 0; i < sorted_.size();) {
      const std::uint32_t before = keys_[i];
      std::size_t end = i;
      while (end < sorted_.size() && keys_[end] == before)
        end = count_group_of_follower(end, before);
      const bool kept = length_ + 1 < what_.free || end - i >= what_.least;
      if (before < what_.K && kept) {
        result_.child_ids.push_back(before);
        next_positions_.insert(next_positions_.end(), sorted_.begin() + i, sorted_.begin() + end);
        next_starts_.push_back(static_cast<std::uint32_t>(next_positions_.size()));
        ++children;
      }
      i = end;
    }
    return children;
  }

  // Count the positions from `i` on with the same character before the context and the same
  // follower. They add 1 to every column, except to that of a part which has all of them.
  std::size_t count_group_of_follower(std::size_t i, std::uint32_t before) {
    const std::uint32_t id = ids_[sorted_[i]];
    int lowest = what_.parts, highest = -1;
    for (; i < sorted_.size() && keys_[i] == before && ids_[sorted_[i]] == id; ++i) {
      const int p = part(sorted_[i]);
      lowest = std::min(lowest, p);
      highest = std::max(highest, p);
    }
    std::uint32_t* counts = &counts_[std::size_t(follower_of_[id]) * columns_];
    for (int column = 0; column < columns_; ++column)
      counts[column] += column == 0 || lowest != highest || lowest != column - 1;
    return i;
  }

  // Return what is subtracted from a count of 0, 1, 2, and 3 or more (Chen and Goodman 1998). The
  // positions of contexts that were left out have a count of 1.
  std::array<double, 4> discounts() const {
    std::array<double, 4> usual = {0, 0.5, 1, 1.5};
    std::array<double, 5> with = {};
    for (std::size_t e = 0; e < counts_.size(); e += columns_)
      if (counts_[e] < with.size()) ++with[counts_[e]];
    with[1] += count_ - starts_.back();
    if (std::any_of(with.begin() + 1, with.end(), [](double n) { return n == 0; })) return usual;
    const double y = with[1] / (with[1] + 2 * with[2]);
    for (int n = 1; n <= 3; ++n) {
      const double d = n - (n + 1) * y * with[n + 1] / with[n];
      if (d > 0 && d < n) usual[n] = d;
    }
    return usual;
  }

  // Turn the counts of this level into shares and factors.
  void smooth_level() {
    const std::array<double, 4> discount = discounts();
    for (int column = 0; column < columns_; ++column) {
      result_.shares[column].reserve(result_.follower_ids.size());
      for (std::size_t c = 0; c + 1 < starts_.size(); ++c) smooth_context(c, column, discount);
    }
  }

  void smooth_context(std::size_t c, int column, const std::array<double, 4>& discount) {
    const std::size_t first = first_entry_of(c), end = first_entry_of(c + 1);
    const bool counts = column == 0 || length_ < what_.free ||
                        outside(starts_[c], starts_[c + 1], column - 1) >= what_.least;
    std::vector<float>& shares = result_.shares[column];
    double total = 0, freed = 0;
    for (std::size_t e = first; counts && e < end; ++e) {
      const std::uint32_t n = counts_[e * columns_ + column];
      total += n;
      freed += discount[std::min(n, 3u)];
    }
    result_.factors[column].push_back(static_cast<float>(total > 0 ? freed / total : 1));
    for (std::size_t e = first; e < end; ++e) {
      const std::uint32_t n = counts_[e * columns_ + column];
      shares.push_back(
          static_cast<float>(total > 0 ? (n - discount[std::min(n, 3u)]) / total : 0));
    }
  }

  // Return the first entry of a context, counted from the first one of this level.
  std::size_t first_entry_of(std::size_t c) const {
    const std::size_t context = first_context_ + c;
    return (context < result_.followers.size() ? result_.followers[context]
                                               : result_.follower_ids.size()) -
           first_entry_;
  }

  // Return how many positions of a context are outside a part of the text, at most `least`.
  std::uint32_t outside(std::uint32_t from, std::uint32_t to, int left_out) const {
    std::uint32_t found = 0;
    for (; from < to && found < what_.least; ++from) found += part(positions_[from]) != left_out;
    return found;
  }

  using Pair = std::pair<std::uint32_t, std::uint32_t>;  // the id before a context, a position

  const NGramCount what_;
  const Id* ids_;
  const int columns_;
  std::vector<bool> begins_;       // of each position: a segment begins there
  std::uint32_t count_ = 0;        // of the positions in the segments
  CountedNGrams result_;
  int length_ = 0;                 // of the contexts of this level, in characters
  std::size_t first_context_ = 0;  // the first context of this level, and its first entry
  std::size_t first_entry_ = 0;
  // The positions in the text, grouped by context; and where the group of each context starts.
  std::vector<std::uint32_t> positions_, next_positions_, starts_, next_starts_;
  std::vector<std::uint32_t> counts_;        // (entries of this level, columns)
  std::vector<std::uint32_t> sorted_, keys_;  // of one context: positions, and the id before each
  std::vector<Pair> pairs_;
  std::vector<std::uint32_t> places_, follower_of_;
};

template <typename Id>
CountedNGrams count(NGramCount what) {
  {
    Counter<Id> counter(what);
    if (counter.run()) return counter.take();
  }
  what.least = Counter<Id>(what).least_that_fits();
  what.free = 1;
  what.most_bytes = ~std::size_t(0);
  Counter<Id> counter(what);
  counter.run();
  return counter.take();
}

}  // namespace

CountedNGrams count_ngrams(const NGramCount& what) {
  switch (what.tokens.bytes) {
    case 1: return count<std::uint8_t>(what);
    case 2: return count<std::uint16_t>(what);
    default: return count<std::uint32_t>(what);
  }
}

}  // namespace charloom
