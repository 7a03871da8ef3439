// Asks the processor which of the compiled instruction sets it can run.
#include "instruction_sets.hpp"

#include <stdexcept>

namespace charloom {

#if defined(__x86_64__)
extern const Kernels<float> kernels_v2_float, kernels_v3_float, kernels_v4_float;
extern const Kernels<double> kernels_v2_double, kernels_v3_double, kernels_v4_double;
static constexpr InstructionSet set_v2{"v2", kernels_v2_float, kernels_v2_double};
static constexpr InstructionSet set_v3{"v3", kernels_v3_float, kernels_v3_double};
static constexpr InstructionSet set_v4{"v4", kernels_v4_float, kernels_v4_double};
#else
extern const Kernels<float> kernels_baseline_float;
extern const Kernels<double> kernels_baseline_double;
static constexpr InstructionSet set_baseline{"baseline", kernels_baseline_float,
                                             kernels_baseline_double};
#endif

std::vector<const InstructionSet*> available_sets() {
  std::vector<const InstructionSet*> sets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) sets.push_back(&set_v4);
  if (v3) sets.push_back(&set_v3);
  if (v2) sets.push_back(&set_v2);
#else
  sets.push_back(&set_baseline);
#endif
  return sets;
}

const InstructionSet& find_set(const std::string& name) {
  for (const InstructionSet* set : available_sets())
    if (name == set->name) return *set;
  throw std::invalid_argument("this processor does not run the instruction set " + name);
}

}  // namespace charloom
