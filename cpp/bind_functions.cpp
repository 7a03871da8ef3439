// Binds what tests and benchmarks need: single vector functions, and the peak speed of a core.
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "gil.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

template <typename T>
void apply(const TypedKernels<T>& kernels, const std::string& function, In<T> x, Array<T> y) {
  const Kernels<T>& k = kernels.call;
  require_length(y, x.size(), "y must be as long as x");
  require(x.ndim() == 1 && x.size() % 16 == 0, "x must be a multiple of 16 long");
  const auto f = function == "exp"               ? k.exp
                 : function == "log"             ? k.log
                 : function == "tanh"            ? k.tanh
                 : function == "sigmoid"         ? k.sigmoid
                 : function == "reciprocal_root" ? k.reciprocal_root
                 : function == "reciprocal"      ? k.reciprocal
                 : function == "root"            ? k.root
                                                 : nullptr;
  require(f != nullptr, "no such function");
  f(x.data(), y.data(), x.size());
}

template <typename T>
void multiply_adds(const TypedKernels<T>& kernels, double operations) {
  WithoutGil released;
  kernels.call.multiply_adds(operations);
}

}  // namespace

template <typename T>
void bind_functions(KernelsClass<T>& kernels) {
  kernels.def("apply", apply<T>, "function"_a, "x"_a.noconvert(), "y"_a.noconvert());
  kernels.def("multiply_adds", multiply_adds<T>, "operations"_a);
}

template void bind_functions<float>(KernelsClass<float>&);
template void bind_functions<double>(KernelsClass<double>&);

}  // namespace charloom
