// Binds the calls for training: the gradient of one window, and many updates.
#include "bindings.hpp"
#include "gil.hpp"
#include "threads.hpp"
#include "workspace.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

// The arrays of each slot of an update rule, and at the end the averaged weights, if there are any.
template <typename T>
class Slots {
 public:
  Slots(const Shape& shape, const Descent& descent, const nb::tuple& given) {
    require(given.size() == static_cast<std::size_t>(descent.slots()), "wrong number of slots");
    bundles_.reserve(given.size());
    for (const nb::handle slot : given) bundles_.emplace_back(shape, nb::cast<nb::tuple>(slot));
    for (const ParameterArrays<T>& bundle : bundles_) arrays_.push_back(bundle.arrays.data());
  }
  const Arrays<T>* arrays() const { return arrays_.data(); }

 private:
  std::vector<ParameterArrays<T>> bundles_;
  std::vector<Arrays<T>> arrays_;
};

void require_columns(const In<std::int32_t>& columns, int count) {
  for (std::size_t i = 0; i < columns.size(); ++i)
    require(columns.data()[i] >= 0 && columns.data()[i] < count,
            "a column is not one of the n-grams' columns");
}

template <typename T>
double gradients(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
                 const PairTable* pairs, nb::tuple weights, In<std::int32_t> x,
                 In<std::int32_t> y, In<std::int32_t> columns, nb::tuple state,
                 const Descent& descent, std::int64_t update, nb::tuple gradients, nb::tuple next) {
  const ParameterArrays<T> net(shape, weights), result(shape, gradients);
  const Model<T> model = model_of(shape, net, ngrams, pairs);
  require(x.ndim() == 2 && y.ndim() == 2 && x.shape(0) == y.shape(0) && x.shape(1) == y.shape(1) &&
              x.size() > 0 && x.size() < most_rows,
          "x and y must have the same shape (T, B), neither empty nor huge");
  require_below(x, shape.K);
  require_below(y, shape.K);
  require(columns.ndim() == 2 && columns.shape(0) == x.shape(0) && columns.shape(1) == x.shape(1),
          "columns must have the shape of x");
  require_columns(columns, ngrams == nullptr ? 1 : model.ngrams.columns);
  const std::size_t B = x.shape(1);
  const State<T> from = state_of<T>(shape, state, B), to = result_state_of<T>(shape, next, B);
  double loss = 0;
  bool ok;
  {
    WithoutGil released;
    ok = kernels.call.gradients(model, x.data(), y.data(), columns.data(),
                                static_cast<int>(x.shape(0)), static_cast<int>(B), from, descent,
                                update, &loss, result.arrays.data(), to);
  }
  require_memory(ok);
  return loss;
}

template <typename T>
TrainResult train(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
                  const PairTable* pairs, nb::tuple weights, nb::tuple slots, nb::tuple state,
                  const Updates& updates, const Descent& descent, std::size_t threads,
                  WorkspaceMemory& workspace, Array<double> losses, Array<double> norms) {
  const ParameterArrays<T> net(shape, weights);
  const Model<T> model = model_of(shape, net, ngrams, pairs);
  const Slots<T> kept(shape, descent, slots);
  const Windows windows = updates.checked();
  const auto count = static_cast<std::size_t>(windows.count), B = static_cast<std::size_t>(windows.B);
  require_length(losses, count, "losses must be as long as learning_rates");
  require_length(norms, count, "norms must be as long as learning_rates");
  require_threads(threads, B);
  const State<T> at = state_of<T>(shape, state, B);
  TrainResult result;
  {
    WithoutGil released;
    ThreadTeam team(static_cast<int>(threads));
    // If another call is using the workspace, this call takes separate memory.
    WorkspaceMemory own;
    std::unique_lock<std::mutex> lock(workspace.in_use, std::try_to_lock);
    WorkspaceMemory& pieces = lock.owns_lock() ? workspace : own;
    result = kernels.call.train(model, kept.arrays(), at, windows, descent,
                                team.interface(), pieces.workspace(), losses.data(), norms.data());
  }
  require_memory(!result.no_memory);
  return result;
}

}  // namespace

template <typename T>
void bind_training(KernelsClass<T>& kernels) {
  kernels.def("gradients", gradients<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(),
              "pairs"_a.none(), "weights"_a, "x"_a.noconvert(), "y"_a.noconvert(),
              "columns"_a.noconvert(), "state"_a, "descent"_a, "update"_a, "gradients"_a, "next"_a);
  kernels.def("train", train<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(), "pairs"_a.none(),
              "weights"_a, "slots"_a, "state"_a, "updates"_a, "descent"_a, "threads"_a,
              "workspace"_a, "losses"_a.noconvert(), "norms"_a.noconvert());
}

template void bind_training<float>(KernelsClass<float>&);
template void bind_training<double>(KernelsClass<double>&);

}  // namespace charloom
