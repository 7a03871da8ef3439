"""Results that show that the doctor calls a function in a wrong way are refused, not called wrong."""

import pytest

from charloom.errors import DoctorError
from edited_submissions import judge_edited
from test_doctor_batches import SOURCE

RETURN = "    return loss, grads"


def judged(tmp_path, *edits):
    """Return the diagnosis of a file whose form is recognised, with edits."""
    return judge_edited(tmp_path, SOURCE, edits)


def test_a_loss_that_does_not_change_with_the_output_matrix_is_refused(tmp_path):
    edits = (RETURN, f"    loss = float(sum((h**2).sum() for h in hs))\n{RETURN}")
    with pytest.raises(DoctorError, match="does not change with the output matrix V"):
        judged(tmp_path, edits)


@pytest.mark.parametrize("result", ["np.sin(77 * g) + 1", "0 * g"])
def test_gradients_without_a_loss_none_of_which_is_right_are_refused(tmp_path, result):
    edits = (RETURN, f"    return {{n: {result} for n, g in grads.items()}}")
    with pytest.raises(DoctorError, match="returned no loss, and none of its gradients"):
        judged(tmp_path, edits)


def test_a_mistake_without_a_loss_is_still_wrong(tmp_path):
    edits = ((RETURN, "    return grads"), ("dnext = da @ p", "dnext = 0 * da @ p"))
    assert judged(tmp_path, *edits).mistakes == ("time-carry-missing",)
