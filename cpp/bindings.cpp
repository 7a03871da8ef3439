// The Python module charloom._native, put together from the bind_*.cpp files.
#include "bindings.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cerrno>
#include <exception>
#include <system_error>

namespace charloom {

using namespace nb::literals;

namespace {

// Refuse subinterpreters. When nanobind releases an array, it takes the GIL with PyGILState_Ensure,
// which knows only the main interpreter. In a subinterpreter that call would wait for itself
// forever.
void require_main_interpreter() {
  constexpr std::int64_t main_interpreter = 0;  // PyInterpreterState_Main is not in the stable ABI
  if (PyInterpreterState_GetID(PyInterpreterState_Get()) != main_interpreter)
    throw nb::import_error("it runs in the main interpreter only, and this is a subinterpreter");
}

// Raise a std::system_error, such as too few threads, as an OSError with the message of the system.
void translate_system_error(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::system_error& error) {
    errno = error.code().value();
    PyErr_SetFromErrno(PyExc_OSError);
  }
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const InstructionSet* set : available_sets()) names.emplace_back(set->name);
  return names;
}

template <typename T>
void bind_kernels(nb::module_& m, const char* name, const char* training_name) {
  KernelsClass<T> kernels(m, name, "The kernels of one instruction set for one type.");
  kernels.def(nb::init<const std::string&>(), "isa"_a);
  bind_training(m, training_name, kernels);
  bind_reading(kernels);
  bind_functions(kernels);
}

}  // namespace
}  // namespace charloom

NB_MODULE(_native, m) {
  using namespace charloom;
  require_main_interpreter();
  // A daemon thread that computes while the process ends never releases its arguments; nanobind
  // would report them as leaks.
  nb::set_leak_warnings(false);
  m.doc() = "The compiled kernels of charloom; see charloom.engines.native.";
  nb::register_exception_translator(translate_system_error);
  m.def("instruction_sets", instruction_sets,
        "Return the instruction sets that this build has and this processor can run, best first.");
  bind_shape(m);
  bind_descent(m);
  bind_sampler(m);
  bind_train_result(m);
  bind_ngrams(m);
  bind_pairs(m);
  bind_text(m);
  bind_kernels<float>(m, "Kernels32", "Training32");
  bind_kernels<double>(m, "Kernels64", "Training64");
}
