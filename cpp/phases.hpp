// Lets a team of threads run an object with the functions do_part(part) and next_phase() as a job.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace {

// Each function runs with subnormal numbers as 0, whichever thread calls it.
template <typename Phases>
void run_phases(const charloom::Team& team, Phases& phases) {
  team.run(team.self, {&phases,
                       [](void* self, int part) {
                         const NoSubnormals fast;
                         static_cast<Phases*>(self)->do_part(part);
                       },
                       [](void* self) {
                         const NoSubnormals fast;
                         return static_cast<Phases*>(self)->next_phase();
                       }});
}

}  // namespace
