"""Finds out how to make a module of a user's class: which sizes its arguments are.

The result is an expression such as `net.CharRNN(K, H)`, which is tried at once and which the wrapper
then contains. This module knows no layers.
"""

import copy
import itertools
import types
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from charloom.diagnosis.forms.file_contents import ClassFacts, Contents, FunctionFacts
from charloom.diagnosis.forms.name_roles import short, size_of

PROBE: Final = {"K": 7, "H": 4, "T": 6}  # sizes that tell the layers of a module apart
# The same for the sizes that the arguments of a class may have.
MODULE_SIZES: Final = {**PROBE, "E": 7, "one": 1, "zero": 0.0, "flag": False, "device": "cpu"}
MOST_TRIED: Final = 24  # largest number of combinations of arguments that are tried

EMBEDDING_NAMES: Final = ("embedsize", "embeddingdim", "embeddingsize", "embeddim", "embsize", "embdim", "emb", "embed", "nembd", "nembed", "dembed", "demb", "dmodel", "embeddings", "embedding", "ninp", "wordvecdim", "embeddingsdim", "embeddinglength", "nemb", "embeddingdims", "edim", "esize", "e", "lookupdim", "charembdim", "charembeddim", "wordvecsize", "nembedding", "numembeddings")  # fmt: skip
MORE_K_NAMES: Final = ("v", "nletters", "ncategories", "nwords", "numwords", "targetsize", "tagsetsize", "nclass", "nclasses", "dictsize", "nsymbols", "numsymbols", "vocabularylength", "vocablength", "charscount", "outfeatures", "infeatures", "outputs", "inputs", "nvocabulary", "ntags", "alphabet", "inputvocab", "sizevocab", "nlabels", "numlabels", "chardim", "charcount")  # fmt: skip
MORE_H_NAMES: Final = ("hid", "hiddim", "hidsize", "hidunits", "hiddenunit", "hiddencells", "ncells", "rnnunits", "lstmsize", "lstmunits", "latentdim", "dhidden", "lstmhidden", "rnnhidden", "hiddenfeatures", "hiddenneurons", "nneurons", "neurons", "lstmdim", "rnndim", "grusize", "gruunits", "hiddennodes", "numhid", "hiddenstatesize", "nembd2", "celldim", "hiddenwidth", "width")  # fmt: skip
FLAG_NAMES: Final = ("bidirectional", "bidir", "birnn", "tieweights", "tied", "bias", "batchfirst", "usegpu", "usecuda", "cuda", "gpu", "layernorm", "verbose", "debug", "padidx", "paddingidx")  # fmt: skip
TOKENS_NAMES: Final = ("tokens", "chars", "vocab", "characters", "alphabet", "vocabulary", "allchars", "charset", "uniquechars")  # fmt: skip
KIND_NAMES: Final = ("rnntype", "celltype", "modeltype", "model", "kind", "type", "rnn", "cell", "rnncell", "mode", "celltypes")  # fmt: skip
CONFIG_NAMES: Final = ("config", "cfg", "args", "opt", "opts", "hparams", "hp", "params", "conf")
KINDS: Final = ('"LSTM"', '"lstm"', '"GRU"', '"gru"', '"RNN"', '"rnn"', '"RNN_TANH"')
MAKING_WORDS: Final = ("make", "build", "create", "model")

VALUES: Final = {
    "K": "K", "H": "H", "E": "K", "T": "T", "one": "1", "zero": "0.0", "flag": "False",
    "device": '"cpu"', "tokens": "list(range(K))",
}  # fmt: skip


class Making(NamedTuple):
    """A way to make a module.

    Attributes:
        text: the expression that makes it from the sizes K, H and T, and from the user's file `net`.
        module: a module that it made with the sizes of `PROBE`.
        one_layer: whether a number of layers was set to 1.
    """

    text: str
    module: Any
    one_layer: bool = False


def makings(contents: Contents, net: Any, owner: ClassFacts) -> Iterator[Making]:
    """Yield the ways to make a module of a class, the likeliest first.

    A module with K more hidden units than needed follows, for classes whose embedding is as wide as the
    state. Then come modules that a function of the file makes, and those that the file itself made,
    whose sizes are fixed.
    """
    for text in calls_of_functions(contents):
        module = made(net, text)
        if type(module).__name__ == owner.name:
            yield Making(text, module)
    for hidden in ("H", "(H + K)"):
        for text in calls_of(contents, owner, hidden):
            module = made(net, text)
            if module is not None:
                yield Making(text, module, "=1" in text.replace(" ", ""))
                break
    for name, value in vars(net).items():
        if type(value).__name__ == owner.name and hasattr(value, "named_parameters"):
            yield Making(f"copy.deepcopy(net.{name})", copy.deepcopy(value))


def calls_of(contents: Contents, owner: ClassFacts, hidden: str) -> Iterator[str]:
    """Yield calls that may make a module of a class; `hidden` is the number of hidden units."""
    start = owner.methods.get("__init__")
    if start is None:
        yield f"net.{owner.name}()"
        return
    choices = [
        made_parts(contents, owner, name, hidden) or choices_for(contents, start, name, hidden)
        for name in start.arguments
    ]
    if all(found is not None for found in choices):
        known = [found for found in choices if found is not None]
        for chosen in itertools.islice(itertools.product(*known), MOST_TRIED):
            yield f"net.{owner.name}({', '.join(value for value in chosen if value)})"


def made_parts(contents: Contents, owner: ClassFacts, name: str, hidden: str) -> list[str] | None:
    """Return calls that make a module of another class of the file, for an argument such as rnn; or None."""
    if short(name) not in (*KIND_NAMES, "layer", "rnnlayer", "encoder", "core", "lstm", "gru"):
        return None
    others = [
        one
        for one in contents.classes.values()
        if one is not owner and any(base.split(".")[-1] == "Module" for base in one.bases)
    ]
    found = [
        call for one in others for call in itertools.islice(calls_of(contents, one, hidden), 1)
    ]
    return found or None


def calls_of_functions(contents: Contents) -> Iterator[str]:
    """Yield calls of the functions that may make a module, such as make(vocab_size, hidden_size)."""
    for facts in contents.functions.values():
        if not any(word in facts.name.lower() for word in MAKING_WORDS):
            continue
        for hidden in ("H", "(H + K)"):
            choices = [choices_for(contents, facts, name, hidden) for name in facts.arguments]
            if facts.arguments and all(choices):
                given = [values[0] for values in choices if values and values[0]]
                yield f"net.{facts.name}({', '.join(given)})"


def choices_for(
    contents: Contents, start: FunctionFacts, name: str, hidden: str
) -> list[str] | None:
    """Return what to try for one argument of a class; [""] to leave it out, None if it is unknown."""
    required = name in start.required
    before = "" if required else f"{name}="
    values = [value.replace("H", hidden) if value == "H" else value for value in values_for(name)]
    if short(name) in CONFIG_NAMES and required:
        values = [configuration(contents, name, hidden)]
    role = role_in_class(name)
    if not values:
        return None if required else [""]
    if not required and role in ("zero", "flag", "device", "kind", "T", "tokens"):
        return [""]
    return [f"{before}{value}" for value in values]


def values_for(name: str) -> list[str]:
    """Return expressions for an argument of a class, the likeliest first; [] if its name says nothing."""
    role = role_in_class(name)
    if role == "kind":
        return list(KINDS)
    found = [VALUES[role]] if role else []
    if short(name) in TOKENS_NAMES and role == "K":
        found.append(VALUES["tokens"])
    return found


def role_in_class(name: str) -> str:
    """Return what an argument of a class is: a size, "E", "flag", "device", "kind", "tokens", or ""."""
    word = short(name)
    known = {
        "E": EMBEDDING_NAMES,
        "K": MORE_K_NAMES,
        "H": MORE_H_NAMES,
        "flag": FLAG_NAMES,
        "device": ("device", "dev"),
        "kind": KIND_NAMES,
    }
    role = next((role for role, names in known.items() if word in names), "") or size_of(name)
    return role or ("tokens" if word in TOKENS_NAMES else "") or role_by_part(word)


def role_by_part(word: str) -> str:
    """Return what an argument of a class is by a part of its name, such as "out" in outsz; "" if none says so."""
    parts = (
        ("layer", "one"),
        ("hid", "H"),
        ("emb", "E"),
        ("bias", "flag"),
        ("in", "K"),
        ("out", "K"),
    )
    return next((role for part, role in parts if word.startswith(part)), "")


def configuration(contents: Contents, name: str, hidden: str) -> str:
    """Return the expression for an object with the settings that the file's classes read from `name`."""
    read = {
        attribute
        for owner in contents.classes.values()
        for method in owner.methods.values()
        for base in (name, f"self.{name}")
        for attribute in method.attributes_of(base)
    }
    known = {a: values[0] for a in sorted(read) if (values := values_for(a))}
    items = (f"{a}={hidden if value == 'H' else value}" for a, value in known.items())
    return f"types.SimpleNamespace({', '.join(items)})"


def made(net: Any, text: str) -> Any:
    """Return the module that an expression makes with the sizes of `PROBE`; None if it makes none."""
    space = {"net": net, "types": types, "copy": copy, **PROBE}
    try:
        module = eval(text, space)
    except Exception:
        return None
    return module if hasattr(module, "named_parameters") else None
