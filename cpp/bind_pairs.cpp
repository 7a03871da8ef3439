// Binds the pairs of characters with an input of their own, and prepares how the kernels find them.
#include <algorithm>
#include <numeric>

#include "bindings.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

// A table of all pairs has at most this many entries.
constexpr std::size_t most_table = std::size_t(1) << 22;

// Return the code of each row of ids before the first one without a pair.
std::vector<std::int64_t> codes_of(const In<std::int32_t>& ids, std::int64_t K) {
  require(ids.ndim() == 2 && ids.shape(1) == 2 && ids.shape(0) < most_pairs,
          "the ids of pairs must have the shape (R, 2)");
  std::vector<std::int64_t> codes;
  for (std::size_t row = 0; row < ids.shape(0); ++row) {
    const std::int32_t previous = ids.data()[2 * row], present = ids.data()[2 * row + 1];
    if (previous == -1 && present == -1) continue;
    require(codes.size() == row, "a row without a pair comes before one with a pair");
    require(previous >= 0 && previous < K && present >= 0 && present < K, "an id is not below K");
    codes.push_back(previous * K + present);
  }
  return codes;
}

// Return the rows in the order of their codes.
std::vector<std::int32_t> rows_by_code(const std::vector<std::int64_t>& codes) {
  std::vector<std::int32_t> rows(codes.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::sort(rows.begin(), rows.end(), [&](auto a, auto b) { return codes[a] < codes[b]; });
  for (std::size_t i = 1; i < rows.size(); ++i)
    require(codes[rows[i - 1]] < codes[rows[i]], "two rows have the same pair");
  return rows;
}

}  // namespace

PairTable::PairTable(In<std::int32_t> ids, std::size_t K) : count(ids.ndim() == 2 ? ids.shape(0) : 0), K(K) {
  require(K > 0 && K < most_characters, "K is out of range");
  const std::vector<std::int64_t> codes = codes_of(ids, static_cast<std::int64_t>(K));
  rows_ = rows_by_code(codes);
  if (K * K <= most_table) {
    table_.assign(K * K, -1);
    for (const std::int32_t row : rows_) table_[codes[row]] = row;
  }
  for (const std::int32_t row : rows_) codes_.push_back(codes[row]);
}

Pairs PairTable::view() const {
  return {static_cast<int>(count),
          static_cast<int>(K),
          rows_.size(),
          table_.empty() ? nullptr : table_.data(),
          rows_.data(),
          codes_.data()};
}

void bind_pairs(nb::module_& m) {
  nb::class_<PairTable>(m, "Pairs", "The pairs of characters of a network, for the kernels.")
      .def(nb::init<In<std::int32_t>, std::size_t>(), nb::kw_only(), "ids"_a.noconvert(), "K"_a)
      .def_ro("count", &PairTable::count)
      .def_ro("K", &PairTable::K);
}

}  // namespace charloom
