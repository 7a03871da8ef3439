// Threads that work on one job together and wait for each other at barriers.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace charloom {

// A team is made for one call and ends with it, so that no thread outlives its work. The caller is
// thread 0. A waiting thread spins for ten to two hundred microseconds and then sleeps, so that two
// processes on the same processors do not waste each other's time.
class ThreadTeam {
 public:
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  Team interface();

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
