// Threads that work on one job together and wait for one another at barriers.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace charloom {

// Made for one call and ended with it, so that no thread outlives the work that it was made for. The
// caller is thread 0. Who waits spins for ten to two hundred microseconds and then sleeps: two processes that
// share the processors do not burn each other's time.
class Crew {
 public:
  explicit Crew(int threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  Team team();

 private:
  void run(void (*job)(void* context, int thread), void* context);
  void work(int thread);
  void barrier();

  const int threads_;
  std::vector<std::thread> workers_;
  std::atomic<std::uint32_t> round_{0}, arrived_{0}, generation_{0};
  void (*job_)(void*, int) = nullptr;
  void* context_ = nullptr;
};

}  // namespace charloom
