// Binds the small classes that Python passes to the kernels and receives from them. Each object is
// checked when it is made and cannot change afterwards, so one object can serve many calls.
#include <nanobind/stl/string.h>

#include "bindings.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

Shape checked_shape(Cell cell, std::size_t layers, std::size_t K, std::size_t H, int ngram_order,
                    std::size_t pairs, int boundary) {
  require(layers > 0 && layers <= most_layers, "there must be 1 to 64 layers");
  require(H > 0 && K > 0 && H < most_units && K < most_characters, "H or K is out of range");
  require(ngram_order >= 0 && ngram_order <= most_order,
          "the order of the n-grams must be from 0 to 64");
  require(pairs < most_pairs, "there are too many pairs");
  require(boundary >= -1 && boundary < static_cast<int>(K), "the boundary of items must be -1 or below K");
  return {cell,        static_cast<int>(layers), static_cast<int>(K), static_cast<int>(H),
          ngram_order, static_cast<int>(pairs),  boundary};
}

Descent checked_descent(Rule rule, double momentum, double decay, double beta1, double beta2,
                        double epsilon, double weight_decay, bool decays_biases,
                        double averaging, double clip, bool clip_by_norm, bool mean,
                        double dropout, std::uint64_t seed) {
  require(dropout >= 0 && dropout < 1, "dropout must be at least 0 and below 1");
  require(averaging >= 0 && averaging <= 1, "averaging must be from 0 to 1");
  return {rule,          momentum,  decay, beta1,        beta2, epsilon, weight_decay,
          decays_biases, averaging, clip,  clip_by_norm, mean,  dropout, seed};
}

Sampler checked_sampler(double temperature, double top_p, double min_p, double penalty, int top_k,
                        int window) {
  require(window >= 0, "the window must be at least 0");
  return {temperature, top_p, min_p, penalty, top_k, window};
}

}  // namespace

void bind_shape(nb::module_& m) {
  nb::enum_<Cell>(m, "Cell")
      .value("rnn", Cell::rnn)
      .value("lstm", Cell::lstm)
      .value("gru", Cell::gru);
  nb::class_<Shape>(m, "Shape", "A network's cell and sizes: K characters, H hidden units.")
      .def("__init__",
           [](Shape* self, Cell cell, std::size_t layers, std::size_t K, std::size_t H,
              int ngram_order, std::size_t pairs, int boundary) {
             new (self) Shape(checked_shape(cell, layers, K, H, ngram_order, pairs, boundary));
           },
           nb::kw_only(), "cell"_a, "layers"_a, "K"_a, "H"_a, "ngram_order"_a = 0,
           "pairs"_a = 0, "boundary"_a = -1)
      .def_ro("cell", &Shape::cell)
      .def_ro("layers", &Shape::layers)
      .def_ro("K", &Shape::K)
      .def_ro("H", &Shape::H)
      .def_ro("ngram_order", &Shape::ngram_order)
      .def_ro("pairs", &Shape::pairs)
      .def_ro("boundary", &Shape::boundary)
      .def_prop_ro("blocks", [](const Shape& shape) { return shape.blocks(); })
      .def_prop_ro("states", [](const Shape& shape) { return shape.states(); })
      .def_prop_ro("arrays", [](const Shape& shape) { return shape.arrays(); });
}

void bind_descent(nb::module_& m) {
  nb::enum_<Rule>(m, "Rule")
      .value("adagrad", Rule::adagrad)
      .value("sgd", Rule::sgd)
      .value("rmsprop", Rule::rmsprop)
      .value("adam", Rule::adam)
      .value("adamw", Rule::adamw);
  nb::class_<Descent>(m, "Descent", "How updates are made; a clip of 0 means none.")
      .def("__init__",
           [](Descent* self, Rule rule, double momentum, double decay, double beta1, double beta2,
              double epsilon, double weight_decay, bool decays_biases, double averaging,
              double clip, bool clip_by_norm, bool mean, double dropout, std::uint64_t seed) {
             new (self) Descent(checked_descent(rule, momentum, decay, beta1, beta2, epsilon,
                                                weight_decay, decays_biases, averaging, clip,
                                                clip_by_norm, mean, dropout, seed));
           },
           nb::kw_only(), "rule"_a, "momentum"_a, "decay"_a, "beta1"_a, "beta2"_a, "epsilon"_a,
           "weight_decay"_a, "decays_biases"_a, "averaging"_a, "clip"_a, "clip_by_norm"_a,
           "mean"_a, "dropout"_a, "seed"_a)
      .def_ro("rule", &Descent::rule)
      .def_ro("momentum", &Descent::momentum)
      .def_ro("decay", &Descent::decay)
      .def_ro("beta1", &Descent::beta1)
      .def_ro("beta2", &Descent::beta2)
      .def_ro("epsilon", &Descent::epsilon)
      .def_ro("weight_decay", &Descent::weight_decay)
      .def_ro("decays_biases", &Descent::decays_biases)
      .def_ro("averaging", &Descent::averaging)
      .def_ro("clip", &Descent::clip)
      .def_ro("clip_by_norm", &Descent::clip_by_norm)
      .def_ro("mean", &Descent::mean)
      .def_ro("dropout", &Descent::dropout)
      .def_ro("seed", &Descent::seed);
}

void bind_sampler(nb::module_& m) {
  nb::class_<Sampler>(m, "Sampler", "How a character is drawn from the logits.")
      .def("__init__",
           [](Sampler* self, double temperature, double top_p, double min_p, double penalty,
              int top_k, int window) {
             new (self)
                 Sampler(checked_sampler(temperature, top_p, min_p, penalty, top_k, window));
           },
           nb::kw_only(), "temperature"_a, "top_p"_a, "min_p"_a, "penalty"_a, "top_k"_a,
           "window"_a)
      .def_ro("temperature", &Sampler::temperature)
      .def_ro("top_p", &Sampler::top_p)
      .def_ro("min_p", &Sampler::min_p)
      .def_ro("penalty", &Sampler::penalty)
      .def_ro("top_k", &Sampler::top_k)
      .def_ro("window", &Sampler::window);
}

void bind_train_result(nb::module_& m) {
  nb::class_<TrainResult>(m, "TrainResult", "What one call of train did.")
      .def_ro("updates", &TrainResult::updates)
      .def_ro("not_finite", &TrainResult::not_finite)
      .def_ro("bad_id", &TrainResult::bad_id)
      .def_ro("loss", &TrainResult::loss)
      .def_ro("norm", &TrainResult::norm);
}

}  // namespace charloom
