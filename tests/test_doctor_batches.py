"""Code that takes batches is also called on two texts: its gradient must be the sum or the mean of theirs."""

import numpy as np
import pytest

from charloom.diagnosis.batch_calls import batch_texts
from charloom.diagnosis.batch_gradients import batch_mistakes
from charloom.diagnosis.outcome import Call
from edited_submissions import judge_edited

OWN = "right for its own network"
SOURCE = '''
import numpy as np


def rnn_loss(p, X, Y, h0):
    """X and Y are ids (N, T), h0 is (N, H)."""
    N, T = X.shape
    eye = np.eye(p["Wx"].shape[0])
    hs, ps, loss = [h0], [], 0.0
    for t in range(T):
        hs.append(np.tanh(eye[X[:, t]] @ p["Wx"] + hs[-1] @ p["Wh"] + p["bh"]))
        z = hs[-1] @ p["Wy"] + p["by"]
        e = np.exp(z - z.max(axis=1, keepdims=True))
        ps.append(e / e.sum(axis=1, keepdims=True))
        loss -= np.log(ps[-1][np.arange(N), Y[:, t]]).sum()
    grads = {name: np.zeros_like(value) for name, value in p.items()}
    dnext = np.zeros_like(h0)
    for t in reversed(range(T)):
        dz = ps[t].copy()
        dz[np.arange(N), Y[:, t]] -= 1
        grads["Wy"] += hs[t + 1].T @ dz
        grads["by"] += dz.sum(axis=0)
        da = (dz @ p["Wy"].T + dnext) * (1 - hs[t + 1] ** 2)
        grads["Wx"] += eye[X[:, t]].T @ da
        grads["Wh"] += hs[t].T @ da
        grads["bh"] += da.sum(axis=0)
        dnext = da @ p["Wh"].T
    return loss, grads
'''
DIVIDE = "    for g in grads.values():\n        g /= N\n    return loss"
RIGHT = {
    "sum": [],
    "mean over the texts": [("    return loss", DIVIDE + " / N")],
    "mean of the loss alone": [("    return loss", "    return loss / N")],
}
WRONG = {
    "dW": [("hs[t].T @ da", "hs[t].T @ da / N")],
    "db": [("da.sum(axis=0)", "da.mean(axis=0)")],
    "dU": [('grads["Wx"] += eye[X[:, t]].T @ da', 'grads["Wx"][X[:, t]] += da')],
}


def judged(tmp_path, edits):
    return judge_edited(tmp_path, SOURCE, edits)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_batch_is_right(tmp_path, name):
    found = judged(tmp_path, RIGHT[name])
    assert (found.verdict, found.mistakes) == ("right", ())


@pytest.mark.parametrize("name", WRONG)
def test_a_gradient_that_is_wrong_only_in_a_batch_is_named(tmp_path, name):
    """Two texts of the batch read the same character at one step, so `+=` at an array of ids loses one of them."""
    found = judged(tmp_path, WRONG[name])
    assert (found.verdict, found.mistakes) == ("wrong", ("batch-not-summed",))
    assert found.found[0].variant == name


def call(dV, dc, loss=1.0):
    return Call(loss, {"V": np.array(dV), "c": np.array(dc)}, (), {}, False)


def test_all_gradients_may_have_the_same_factor():
    one, two = call([1.0, 2.0], [3.0]), call([2.0, 0.0], [1.0])
    assert batch_mistakes([one, two, call([3.0, 2.0], [4.0])]) == []
    assert batch_mistakes([one, two, call([1.5, 1.0], [2.0])]) == []
    (found,) = batch_mistakes([one, two, call([3.0, 2.0], [2.0])])
    assert found.id == "batch-not-summed"
    assert batch_mistakes([one, two, call([np.nan, 2.0], [2.0])]) == []
    assert batch_mistakes([]) == []


def test_a_wrapper_without_an_axis_for_the_texts_is_not_rewritten():
    assert (
        list(batch_texts("def checked(params, x, y, h0):\n    return net.f(params, x, y, h0)"))
        == []
    )
    text = "def checked(params, x, y, h0):\n    return net.f(params, x[None], y, h0[None])"
    found = list(batch_texts(text))
    assert len(found) == 4
    assert all("net.f(params, x.T, y, h0)" in one for one in found)
