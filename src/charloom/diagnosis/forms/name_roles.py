"""Says what an argument or a returned item of a user's function is, by its name.

An argument may be x, y, a state, a size, a container of parameters, or the gradient that flows into a
backward function. A returned item may be the loss, a state, the output or a cache.
"""

from typing import Final

from charloom.diagnosis.argument_roles import H_NAMES, K_NAMES, ROLES

X_NAMES: Final = (*ROLES["x"], "xt", "xseq", "inputseq", "inputsequence", "sequence", "seq", "data", "onehot", "xin", "inputids", "tokens", "ids", "features", "xidx", "inps", "inputchars", "prevchars", "source", "src", "xb", "xbatch", "batchx", "inputbatch", "inputline", "inputlinetensor", "inputtensor", "inp", "xlist", "xs", "inseq", "xtrain", "inputseqs", "xin", "idsin", "ins", "charsin")  # fmt: skip
Y_NAMES: Final = (*ROLES["y"], "yt", "ytrue", "targetids", "targetseq", "outputs", "ylabels", "label", "yid", "yids", "captions", "expected", "tgt", "tgts", "targ", "trg", "gold", "yidx", "ytargets", "nextchars", "desired", "truth", "yb", "ybatch", "batchy", "targetbatch", "targetline", "targetlinetensor", "targettensor", "ylist", "ys", "outseq", "ytrain", "targetseqs", "tgtseq", "yout", "ts", "idsout", "outs", "charsout")  # fmt: skip
H0_NAMES: Final = (*ROLES["h0"], "a0", "aprev", "prevh", "preva", "hprevious", "hiddenprev", "ainit", "previoushidden", "hiddenstate", "prevhidden", "hiddeninit", "inithidden", "initialhidden", "hin", "a", "s0", "sprev", "htprev", "previoush", "ht1", "htminus1", "hprevious", "hlast", "lasth", "laststate", "startstate", "state0", "initstate", "prevstate", "stateprev", "memory")  # fmt: skip
C0_NAMES: Final = ("c0", "cprev", "prevc", "cellprev", "cinit", "cell", "cell0", "cellstate", "c", "prevcell", "initcell", "initialcell", "cin", "ctprev", "previousc", "ct1", "ctminus1")  # fmt: skip
PARAMS_NAMES: Final = ROLES["params"]
T_NAMES: Final = ("t", "tau", "seqlength", "seqlen", "sequencelength", "timesteps", "steps", "nsteps", "numsteps", "tx", "ntimesteps", "bptttruncate", "truncate")  # fmt: skip
TRUNCATION: Final = ("bptttruncate", "truncate", "truncation", "bpttsteps", "bptttruncation")
ONE_NAMES: Final = ("batchsize", "nbatch", "numlayers", "nlayers", "layers", "bs", "batch", "ninstances")  # fmt: skip
RATE_NAMES: Final = ("learningrate", "lr", "rate", "eta", "alpha", "reg", "lambda", "lam", "weightdecay", "dropout", "regularization")  # fmt: skip
MORE_K: Final = (*K_NAMES, "worddim", "nx", "ny", "d", "dim", "inputdimension", "outputdimension", "ninput", "noutput", "alphabetsize", "numclasses", "wordvecdim", "charsize", "numvocab", "vocabdim", "indim", "outdim", "ndim", "inputs", "outputs", "inputsz", "vocablen", "embeddim", "xdim", "ydim", "numinputs", "numoutputs", "ntoken", "ntokens", "numtokens", "xsize", "ysize", "nchar", "numletters", "nsymbols", "dictsize", "vocabulary", "inputunits", "outputunits", "inputdims", "outputdims", "insz", "outsz", "nclasses", "nfeatures", "numfeatures", "dx", "dy", "din", "dout", "charcount", "uniquechars", "numsymbols", "sizevocab", "featuredim", "nletters", "nvocabulary", "onehotsize", "classes", "nunique")  # fmt: skip
MORE_H: Final = (*H_NAMES, "na", "hdim", "hsize", "hiddenunits", "hiddensz", "hiddenlayersize", "state", "statesize", "hiddenlen", "hiddenlayers", "nunits", "numhiddens", "nhiddens", "rnnsize", "nh", "hiddenunit", "hsz", "nodes", "hiddennodes", "neurons", "nneurons", "hiddenneurons", "hiddenn", "dh", "hid", "numunits", "numhiddenunits", "sizehidden", "dhidden", "nstates", "hn")  # fmt: skip

LOSS_NAMES: Final = ("loss", "cost", "j", "l", "totalloss", "e", "error", "crossentropy", "ce", "losses", "lossvalue", "nll", "obj", "objective", "celoss", "avgloss", "lossval", "losssum", "currloss")  # fmt: skip
UPSTREAM: Final = ("dh", "dhs", "da", "dout", "dhidden", "dhall", "dhout", "dhnext", "dnexth", "danext", "dnexta", "dhiddens", "upstream", "dhseq", "gradh", "dhidden", "dstates")  # fmt: skip
UPSTREAM_CELL: Final = ("dc", "dcnext", "dnextc", "dcell", "dcellnext")
STATE_NAMES: Final = ("h", "hs", "a", "as", "hidden", "hiddens", "states", "s", "hall", "hout", "hseq", "out", "nexth", "hnext", "anext", "nexta", "hlast", "ht", "hiddenstates", "nextstate", "nexthidden", "hnew", "newh")  # fmt: skip
CELL_STATES: Final = (
    "c",
    "cs",
    "nextc",
    "cnext",
    "cell",
    "cells",
    "ct",
    "cnew",
    "newc",
    "nextcell",
)
OUTPUTS: Final = ("p", "ps", "probs", "prob", "yhat", "yhats", "ypred", "ypreds", "predictions", "y", "ys", "probabilities", "o", "os", "logits", "out", "outputs", "output", "ytpred", "scores", "preds", "pred", "softmax")  # fmt: skip
GRADIENT_HOLDERS: Final = ("grads", "gradients", "grad", "gradient", "g", "dparams", "dparameters", "dtheta", "dw", "deltas")  # fmt: skip

VALUE_FIELDS: Final = ("v", "value", "val", "data", "w", "weight", "x")
GRADIENT_FIELDS: Final = ("d", "grad", "gradient", "g", "dv", "deriv", "dw", "dx", "diff")


def short(name: str) -> str:
    """Return a name in lower case and without underscores."""
    return name.lower().replace("_", "")


def role_of_argument(name: str) -> str:
    """Return what an argument is: "x", "y", "h0", "c0", "params", a size such as "K", or "".

    The sizes are "K", "H" and "T"; "one" is a number of streams or layers, and "zero" a learning rate
    or a regularization.
    """
    word = short(name)
    for role, names in (
        ("x", X_NAMES), ("h0", H0_NAMES), ("c0", C0_NAMES), ("params", PARAMS_NAMES), ("y", Y_NAMES), ("one", ONE_NAMES),
        ("zero", RATE_NAMES), ("T", T_NAMES), ("K", MORE_K), ("H", MORE_H),
    ):  # fmt: skip
        if word in names:
            return role
    if not any(part in word for part in ("size", "dim", "cache", "len")):
        return "x" if word.startswith("input") else "y" if word.startswith("target") else ""
    return ""


def size_of(name: str) -> str:
    """Return "K", "H", "T", "one" or "zero" for the name of a size or a rate; "" for other names."""
    word = short(name)
    for role, names in (("one", ONE_NAMES), ("zero", RATE_NAMES), ("T", T_NAMES), ("H", MORE_H), ("K", MORE_K)):  # fmt: skip
        if word in names:
            return role
    if not any(part in word for part in ("layer", "act", "init", "drop", "state")):
        return (
            "H" if "hid" in word else "K" if word.startswith(("vocab", "nvocab", "nchar")) else ""
        )
    return ""


def is_loss(name: str) -> bool:
    """Return True if a returned item with this name is the loss."""
    word = short(name)
    other = word.startswith("d") or "grad" in word
    return word in LOSS_NAMES or (not other and any(part in word for part in ("loss", "cost")))


def is_state(name: str) -> bool:
    """Return True if an item with this name is a hidden state, or all of them."""
    word = short(name)
    return word in STATE_NAMES or word in H0_NAMES


def is_cell_state(name: str) -> bool:
    """Return True if an item with this name is the state of an LSTM's cells."""
    return short(name) in CELL_STATES


def is_output(name: str) -> bool:
    """Return True if an item with this name is the output of all steps: probabilities or logits."""
    return short(name) in OUTPUTS


def is_numerical(name: str) -> bool:
    """Return True if a function with this name computes a numerical gradient or compares gradients."""
    word = short(name)
    return any(
        part in word
        for part in (
            "numeric",
            "finitediff",
            "approx",
            "gradcheck",
            "gradientcheck",
            "checkgrad",
            "centraldiff",
        )
    )


def stem(name: str) -> str:
    """Return a name without what usually differs between two functions: case, underscores, a plural s."""
    word = short(name)
    return word[:-1] if len(word) > 1 and word.endswith("s") else word
