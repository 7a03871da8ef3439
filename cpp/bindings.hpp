// Declarations that the files of the Python module share: one function for each group of names, and
// the classes that several groups use.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "instruction_sets.hpp"

namespace charloom {

// The kernels of one instruction set for the type T. Python sees it as Kernels32 or Kernels64.
template <typename T>
struct TypedKernels {
  const Kernels<T>& call;

  explicit TypedKernels(const std::string& isa) : call(of(find_set(isa))) {}

 private:
  static const Kernels<T>& of(const InstructionSet& set) {
    if constexpr (std::is_same_v<T, float>)
      return set.f32;
    else
      return set.f64;
  }
};

template <typename T>
using KernelsClass = nb::class_<TypedKernels<T>>;

// The n-grams of a text. The object keeps the arrays alive; they are checked when it is made.
class NGramTable {
 public:
  NGramTable(int order, std::size_t K, std::int64_t counted, In<std::uint32_t> children,
             In<std::uint32_t> child_ids, In<std::uint32_t> followers,
             In<std::uint32_t> follower_ids, In<float> shares, In<float> factors);

  NGrams view() const;

  const int order;
  const std::size_t K;
  const std::int64_t counted;

 private:
  In<std::uint32_t> children_, child_ids_, followers_, follower_ids_;
  In<float> shares_, factors_;
};

// The pairs of characters with an input of their own. The ids are checked when the object is made.
class PairTable {
 public:
  PairTable(In<std::int32_t> ids, std::size_t K);

  Pairs view() const;

  const std::size_t count, K;  // rows of the array of ids; characters

 private:
  // As in `Pairs`: either the table or the codes and their rows.
  std::vector<std::int32_t> table_, rows_;
  std::vector<std::int64_t> codes_;
};

// A network as the kernels read it. The arrays, which may be null where only sizes matter, the n-grams and the pairs
// must outlive the call.
template <typename T>
Model<T> model_of(const Shape& shape, Arrays<T> arrays, const NGramTable* ngrams,
                  const PairTable* pairs) {
  const auto K = static_cast<std::size_t>(shape.K);
  require((shape.ngram_order > 0) == (ngrams != nullptr),
          "there must be n-grams exactly if the order of the network is above 0");
  require(ngrams == nullptr || (ngrams->order == shape.ngram_order && ngrams->K == K),
          "the n-grams have another order or K than the network");
  require((shape.pairs > 0) == (pairs != nullptr),
          "there must be pairs exactly if the network has inputs for them");
  require(pairs == nullptr ||
              (pairs->count == static_cast<std::size_t>(shape.pairs) && pairs->K == K),
          "the pairs have another number or K than those of the network");
  return {shape, arrays, ngrams == nullptr ? NGrams{} : ngrams->view(),
          pairs == nullptr ? Pairs{} : pairs->view()};
}

void bind_shape(nb::module_& m);
void bind_descent(nb::module_& m);
void bind_sampler(nb::module_& m);
void bind_train_result(nb::module_& m);
void bind_ngrams(nb::module_& m);
void bind_pairs(nb::module_& m);
void bind_text(nb::module_& m);

template <typename T>
void bind_training(nb::module_& m, const char* name, KernelsClass<T>& kernels);
template <typename T>
void bind_reading(KernelsClass<T>& kernels);
template <typename T>
void bind_functions(KernelsClass<T>& kernels);

}  // namespace charloom
