// Starts the threads of a team, and makes them wait for each other.
#include "threads.hpp"

namespace charloom {

namespace {

constexpr int spins = 4000;  // ten to two hundred microseconds, depending on the processor

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Return when `value` is no longer `old`.
void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadTeam::ThreadTeam(int threads) : threads_(threads) {
  workers_.reserve(threads_ - 1);
  try {
    for (int i = 1; i < threads_; ++i) workers_.emplace_back(&ThreadTeam::work, this, i);
  } catch (...) {
    // The system gave fewer threads than asked for. End those that it gave: they are waiting for a
    // job.
    job_ = nullptr;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    for (auto& worker : workers_) worker.join();
    throw;
  }
}

ThreadTeam::~ThreadTeam() {
  job_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (auto& worker : workers_) worker.join();
}

Team ThreadTeam::interface() {
  return {threads_, this,
          [](void* self, void (*job)(void*, int), void* context) {
            static_cast<ThreadTeam*>(self)->run(job, context);
          },
          [](void* self) { static_cast<ThreadTeam*>(self)->barrier(); }};
}

void ThreadTeam::run(void (*job)(void* context, int thread), void* context) {
  if (threads_ == 1) {
    job(context, 0);
    return;
  }
  job_ = job;
  context_ = context;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  job(context, 0);
  barrier();  // wait until every thread has finished the job
}

void ThreadTeam::work(int thread) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_while(round_, seen);
    ++seen;
    if (job_ == nullptr) return;
    job_(context_, thread);
    barrier();
  }
}

void ThreadTeam::barrier() {
  if (threads_ == 1) return;
  const std::uint32_t now = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<std::uint32_t>(threads_)) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  } else {
    wait_while(generation_, now);
  }
}

}  // namespace charloom
