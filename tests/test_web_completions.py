"""The routes below /v1 work with OpenAI's Python client."""

import math
import random
import string

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
openai = pytest.importorskip("openai", reason="OpenAI's client is not installed")

import charloom  # noqa: E402
import small_runs  # noqa: E402
from web_servers import LiveServer  # noqa: E402

ZERO = {"start": "zero"}  # the state from which `score` reads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run."""
    path = tmp_path_factory.mktemp("v1")
    small_runs.train(path / "book", validation=0.2)
    return path


@pytest.fixture(scope="module")
def client(folder):
    """Return OpenAI's client, connected to a server."""
    with (
        LiveServer(folder) as live,
        openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def test_models_are_listed(client):
    ids = [model.id for model in client.models.list()]
    assert {"book", "book@latest"} <= set(ids)
    assert client.models.retrieve("book@latest").owned_by == "charloom"
    created = {model.id: model.created for model in client.models.list()}
    for model in ("book", "book@latest"):
        assert client.models.retrieve(model).created == created[model] > 0
    assert client.models.retrieve("book@best").created == created["book"]
    for model in ("gpt-4", "book@99999"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(model)


def test_a_completion_is_the_text_of_the_model(client, folder):
    answer = client.completions.create(model="book", prompt="the ", max_tokens=80, seed=3)
    (choice,) = answer.choices
    assert choice.text == charloom.load(folder / "book").sample("the ", 80, seed=3)
    assert (choice.finish_reason, choice.logprobs) == ("length", None)
    assert answer.object == "text_completion"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4, 80, 84)


def test_without_a_length_a_completion_has_sixteen_characters_and_a_random_seed(client):
    texts = {client.completions.create(model="book", prompt="a").choices[0].text for _ in range(3)}
    assert {len(text) for text in texts} == {16}
    assert len(texts) == 3


def test_several_prompts_give_several_texts(client, folder):
    answer = client.completions.create(
        model="book", prompt=["the ", "a "], n=2, max_tokens=30, seed=1, echo=True
    )
    model = charloom.load(folder / "book")
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == [
        prompt + model.sample(prompt, 30, seed=1, number=number)
        for prompt in ("the ", "a ")
        for number in (0, 1)
    ]
    assert answer.usage.prompt_tokens == 6


def test_a_completion_ends_before_a_stop_string(client, folder):
    whole = client.completions.create(model="book", prompt="the ", max_tokens=200, seed=3).choices[
        0
    ]
    stop = whole.text[20:23]
    for given in (stop, ["ZZ", stop]):
        cut = client.completions.create(
            model="book", prompt="the ", max_tokens=200, seed=3, stop=given
        ).choices[0]
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.finish_reason == "stop"


@pytest.mark.parametrize("options", [{}, {"n": 3, "echo": True, "logprobs": 2}, {"stop": "t"}])
def test_a_stream_is_the_same_text_in_parts(client, options):
    body = {"model": "book", "prompt": "the ", "max_tokens": 150, "seed": 4, **options}
    whole = client.completions.create(**body)
    parts = list(
        client.completions.create(**body, stream=True, stream_options={"include_usage": True})
    )
    assert parts[-1].usage == whole.usage
    for choice in whole.choices:
        own = [c for part in parts for c in part.choices if c.index == choice.index]
        assert "".join(part.text for part in own) == choice.text
        assert [part.finish_reason for part in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1].finish_reason == choice.finish_reason
        if choice.logprobs is not None:
            tokens = [t for part in own if part.logprobs for t in part.logprobs.tokens]
            assert tokens == choice.logprobs.tokens
            offsets = [t for part in own if part.logprobs for t in part.logprobs.text_offset]
            assert offsets == choice.logprobs.text_offset == list(range(len(choice.text)))


def test_logprobs_equal_those_of_score(client, folder):
    answer = client.completions.create(
        model="book", prompt="the ", max_tokens=40, seed=2, logprobs=3, echo=True, extra_body=ZERO
    )
    choice = answer.choices[0]
    found = choice.logprobs
    score = charloom.load(folder / "book").score(choice.text)
    assert found.tokens == list(choice.text)
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    assert found.token_logprobs[1:] == pytest.approx((-score.nats[1:]).tolist(), abs=1e-5)
    for token, logprob, top in list(
        zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True)
    )[1:]:
        assert len(top) == 3
        assert max(top.values()) >= logprob - 1e-6
        if token in top:
            assert top[token] == pytest.approx(logprob, abs=1e-5)
    # Without echo the prompt is left out, and offsets count from behind it.
    alone = client.completions.create(
        model="book", prompt="the ", max_tokens=40, seed=2, logprobs=3, extra_body=ZERO
    ).choices[0]
    assert alone.logprobs.token_logprobs == found.token_logprobs[4:]
    assert alone.logprobs.text_offset == list(range(4, 44))


def test_a_completion_begins_like_a_sample_and_can_begin_in_the_zero_state(client, folder):
    model = charloom.load(folder / "book")
    for start in ("text", "zero"):
        answer = client.completions.create(
            model="book", prompt="the ", max_tokens=40, seed=2, logprobs=1, echo=True, extra_body={"start": start}
        )  # fmt: skip
        assert answer.choices[0].text == "the " + model.sample("the ", 40, seed=2, start=start)
        assert answer.choices[0].logprobs.token_logprobs[0] is None
    text = client.completions.create(model="book", prompt="the ", max_tokens=40, seed=2)
    assert text.choices[0].text == model.sample("the ", 40, seed=2)


def test_no_tokens_with_echo_scores_a_prompt(client, folder):
    text = "the red cat"
    answer = client.completions.create(
        model="book", prompt=text, max_tokens=0, echo=True, logprobs=1, extra_body=ZERO
    )
    choice = answer.choices[0]
    assert choice.text == text
    mean = -math.fsum(choice.logprobs.token_logprobs[1:]) / (len(text) - 1) / math.log(2)
    assert mean == pytest.approx(charloom.load(folder / "book").score(text).mean_bits, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"model": "gpt-4"}, openai.NotFoundError, "gpt-4"),
        ({"model": "../../etc"}, openai.BadRequestError, "model"),
        ({"prompt": "Ωmega"}, openai.UnprocessableEntityError, "Ω"),
        ({"prompt": [1, 2, 3]}, openai.BadRequestError, "prompt"),
        ({"prompt": []}, openai.BadRequestError, "prompt"),
        ({"max_tokens": 10**9}, openai.BadRequestError, "max_tokens"),
        ({"max_tokens": 0}, openai.UnprocessableEntityError, "max_tokens"),
        ({"n": 100}, openai.BadRequestError, "n"),
        ({"n": 8, "prompt": ["a", "a"]}, openai.UnprocessableEntityError, "n"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"logprobs": 1000}, openai.BadRequestError, "logprobs"),
        ({"suffix": "end"}, openai.UnprocessableEntityError, "suffix"),
        ({"best_of": 3}, openai.UnprocessableEntityError, "best_of"),
        ({"presence_penalty": 1}, openai.UnprocessableEntityError, "presence_penalty"),
        ({"logit_bias": {"1": 2}}, openai.UnprocessableEntityError, "logit_bias"),
        ({"stop": ""}, openai.BadRequestError, "stop"),
        ({"extra_body": {"temprature": 0.1}}, openai.BadRequestError, "temprature"),
        ({"extra_body": {"tools": []}}, openai.BadRequestError, "tools"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_unsupported_requests_raise_the_clients_own_errors(client, change, error, named, stream):
    body = {"model": "book", "prompt": "the ", "max_tokens": 4, **change}
    with pytest.raises(error) as caught:
        client.completions.create(**body, stream=stream)
    assert named in str(caught.value)
    assert caught.value.body["message"]


def test_charlooms_own_settings_are_accepted_in_extra_body(client, folder):
    body = {"model": "book", "prompt": "the ", "max_tokens": 60, "seed": 9}
    answer = client.completions.create(**body, extra_body={"top_k": 1})
    assert answer.choices[0].text == charloom.load(folder / "book").sample(
        "the ", 60, top_k=1, seed=9
    )


def test_completions_with_random_settings_equal_those_of_the_model(client, folder):
    model, chance = charloom.load(folder / "book"), random.Random(1)
    known = [c for c in string.printable if c in model.vocabulary]
    for _ in range(10):
        prompt = "".join(chance.choices(known, k=chance.randrange(1, 20)))
        settings = {
            "temperature": round(chance.uniform(0, 2), 2),
            "top_p": round(chance.uniform(0.1, 1), 2),
            "seed": chance.randrange(2**32),
        }
        length = chance.randrange(1, 60)
        answer = client.completions.create(
            model="book", prompt=prompt, max_tokens=length, **settings
        )
        assert answer.choices[0].text == model.sample(prompt, length, **settings)


def test_unknown_characters_are_refused_without_advice_that_the_route_does_not_support(client):
    for stream in (False, True):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            client.completions.create(model="book", prompt=["the", "a ☃"], stream=stream)
        error = caught.value.body
        assert (error["code"], error["characters"]) == ("unknown_characters", ["☃"])
        assert error["advice"] is None
        assert '"skip"' not in error["message"]
