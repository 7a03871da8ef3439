// Starts the threads of a team, gives them the parts of each phase, and lets them wait for the next one.
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

ThreadTeam::ThreadTeam(int threads) : threads_(threads), parts_(threads > 1 ? new Part[threads] : nullptr) {
  workers_.reserve(threads_ - 1);
  try {
    for (int i = 1; i < threads_; ++i) workers_.emplace_back(&ThreadTeam::work, this, i);
  } catch (...) {
    // The system gave fewer threads than asked for. End those that it gave.
    end_workers();
    throw;
  }
}

ThreadTeam::~ThreadTeam() { end_workers(); }

Team ThreadTeam::interface() {
  return {threads_, this,
          [](void* self, const Job& job) { static_cast<ThreadTeam*>(self)->run(job); }};
}

void ThreadTeam::run(const Job& job) {
  if (threads_ == 1) {
    do job.do_part(job.self, 0);
    while (job.next_phase(job.self));
    return;
  }
  job_ = job;
  publish(word_.load(std::memory_order_relaxed) - idle + one_phase);
  for (Word word; state(word = word_.load(std::memory_order_acquire)) == open;) {
    do_parts(0, word);
    wait_while(word_, word);
  }
}

void ThreadTeam::work(int thread) {
  for (Word word; state(word = word_.load(std::memory_order_acquire)) != ended;) {
    if (state(word) == open) do_parts(thread, word);
    wait_while(word_, word);
  }
}

// Do the part of this thread, and then every part that is not taken. A phase that is not the open one
// any more has no such part.
void ThreadTeam::do_parts(int thread, Word phase) {
  for (int i = 0; i < threads_; ++i) {
    const int k = (thread + i) % threads_;
    std::atomic<Word>& taken = parts_[k].taken;
    Word before = phase - one_phase;
    if (taken.load(std::memory_order_relaxed) != before ||
        !taken.compare_exchange_strong(before, phase, std::memory_order_relaxed))
      continue;
    job_.do_part(job_.self, k);
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) return end_phase(phase);
  }
}

void ThreadTeam::end_phase(Word phase) {
  done_.store(0, std::memory_order_relaxed);
  publish(job_.next_phase(job_.self) ? phase + one_phase : phase + idle);
}

void ThreadTeam::publish(Word word) {
  word_.store(word, std::memory_order_release);
  word_.notify_all();
}

void ThreadTeam::end_workers() {
  publish(word_.load(std::memory_order_relaxed) - idle + ended);
  for (auto& worker : workers_) worker.join();
}

}  // namespace charloom
