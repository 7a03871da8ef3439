"""The search for a way to pass arrays ends early if no way can help, and watches the program if calls fail."""

import subprocess
import sys
import textwrap

import pytest

from charloom.diagnosis.forms.name_roles import is_numerical
from charloom.diagnosis.forms.passing import Passing, usual_ways
from charloom.diagnosis.forms.trying import Trier
from charloom.diagnosis.trials import PLANS, make_trial

WAYS = list(usual_ways(Passing(), joined=True))


def calls_until_the_end(error):
    """Return how many ways are tried of a function that raises this error in any way."""
    tried = []

    def made(way):
        def checked(params, x, y, h0):
            tried.append(way)
            raise error

        return checked

    assert Trier(make_trial("lstm", 0, 0, PLANS[0]).problem).best(WAYS, made) is None
    return len(tried)


def test_a_value_in_the_wrong_place_ends_the_search_early():
    assert calls_until_the_end(IndexError("a dict has no rows")) < len(WAYS) / 3


def test_an_error_about_shapes_lets_every_way_be_tried():
    assert calls_until_the_end(ValueError("shapes do not match")) == len(WAYS)


@pytest.mark.parametrize("name", ["gradient_check", "gradCheck", "check_gradients", "numeric_grad"])
def test_a_function_that_checks_gradients_is_not_one_that_computes_them(name):
    assert is_numerical(name)


def test_an_optimizer_needs_no_compiler_and_code_that_asks_for_it_gets_the_real_one():
    pytest.importorskip("torch")
    code = """
        import sys, torch
        from charloom.diagnosis.forms.torch_compiler import StandIn, without_compiler
        without_compiler()
        p = torch.nn.Parameter(torch.ones(2))
        (p * p).sum().backward()
        torch.optim.Adam([p], lr=0.5).step()
        assert torch.allclose(p, torch.full((2,), 0.5))
        assert isinstance(sys.modules["torch._dynamo"], StandIn)
        assert torch._dynamo.config.cache_size_limit > 0
        assert not isinstance(sys.modules["torch._dynamo"], StandIn)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
