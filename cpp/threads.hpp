// Threads that do a job together, phase after phase.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace charloom {

// A team is made for one call and ends with it, so that no thread outlives its work. The caller is
// thread 0.
//
// Each phase has one part per thread. Thread k takes part k, whose memory is in its caches. A thread
// that has finished takes the parts that no other thread has taken: the threads that should do them
// have no processor at the moment. So a phase ends when its parts are done, even if some threads
// never ran, and a thread that comes late continues with the phase that is open then. On free
// processors, all threads take their parts at once, and each does its own.
//
// A thread that finds no part spins for ten to two hundred microseconds and then sleeps.
class ThreadTeam {
 public:
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  Team interface();

 private:
  // The number of a phase times four, plus one of these states: its parts can be taken; it was the
  // last one of its job; the threads end.
  using Word = std::uint32_t;
  static constexpr Word open = 0, idle = 1, ended = 2, one_phase = 4;

  static Word state(Word word) { return word % one_phase; }

  // The word of the last phase in which a thread took this part, on a cache line of its own.
  struct alignas(64) Part {
    std::atomic<Word> taken{open};
  };

  void run(const Job& job);
  void work(int thread);
  void do_parts(int thread, Word phase);
  void end_phase(Word phase);
  void publish(Word word);
  void end_workers();

  const int threads_;
  std::vector<std::thread> workers_;
  std::unique_ptr<Part[]> parts_;
  std::atomic<Word> word_{idle};
  std::atomic<int> done_{0};  // parts of the open phase
  Job job_{};
};

}  // namespace charloom
