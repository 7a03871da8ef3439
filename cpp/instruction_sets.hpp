// Finds the kernels that this processor can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace charloom {

// The instruction sets of this build that the processor runs, best first.
std::vector<const InstructionSet*> available_sets();

// The set with this name; throws std::invalid_argument if the processor does not run it.
const InstructionSet& find_set(const std::string& name);

}  // namespace charloom
