// Lets other Python threads run while kernels compute, even while the interpreter shuts down.
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace charloom {

// Gives the GIL away, and takes it back at the end of its scope.
//
// A daemon thread that wants the GIL back after the interpreter began to shut down must never return to
// Python. Up to Python 3.13, PyEval_RestoreThread then ends the thread by pthread_exit, which glibc
// implements as unwinding: it would run into this destructor's noexcept, and so into std::terminate. It is
// caught here, and the thread sleeps until the process ends, as Python 3.14 does itself. What the thread
// holds stays valid, because nothing of it is released.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace charloom
