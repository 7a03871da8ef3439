"""Reads what a Python file defines, without running it: its functions, its classes and its statements.

It knows no networks. Facts are names and constants in the source, such as the arguments of a function
and the expressions in its last `return`.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from charloom.diagnosis.forms.notebook_reader import code_of
from charloom.diagnosis.notebook_code import code_of_notebook, is_notebook
from charloom.errors import DoctorError

LARGEST: Final = 2_000_000  # bytes; a file with more is not read
# Functions and methods of Python 2 that Python 3 does not have.
PYTHON_2: Final = ("xrange", "raw_input", "unicode", "iteritems", "itervalues", "has_key")
JOINING: Final = ("concatenate", "hstack", "vstack", "row_stack", "column_stack", "r_", "c_", "cat")

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class FunctionFacts:
    """What the source of one function or method says.

    Attributes:
        node: the definition.
        owner: the name of the class of a method; "" for a function.
    """

    node: Definition
    owner: str = ""

    @property
    def name(self) -> str:
        """The name of the function, without that of the class."""
        return self.node.name

    @property
    def is_bound(self) -> bool:
        """Whether the function is a method that gets the instance as its first argument."""
        marks = {ast.unparse(mark) for mark in self.node.decorator_list}
        return bool(self.owner) and not marks & {"staticmethod", "classmethod"}

    @property
    def instance(self) -> str:
        """The name of a method's first argument, usually self; "" for a function."""
        every = [*self.node.args.posonlyargs, *self.node.args.args]
        return every[0].arg if self.is_bound and every else ""

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The names of the arguments, without the instance of a method; those that only have names are last."""
        every = [a.arg for a in (*self.node.args.posonlyargs, *self.node.args.args)]
        return (*(every[1:] if self.is_bound else every), *self.only_by_name)

    @property
    def star(self) -> str:
        """The name of the argument `*name`, which takes all further values; "" if there is none."""
        return self.node.args.vararg.arg if self.node.args.vararg else ""

    @property
    def double_star(self) -> str:
        """The name of the argument `**name`, which takes all further named values; "" if there is none."""
        return self.node.args.kwarg.arg if self.node.args.kwarg else ""

    @property
    def only_by_name(self) -> tuple[str, ...]:
        """The names of the arguments that a call must name."""
        return tuple(a.arg for a in self.node.args.kwonlyargs)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the arguments without a default."""
        by_place = self.arguments[: len(self.arguments) - len(self.only_by_name)]
        named = zip(self.only_by_name, self.node.args.kw_defaults, strict=True)
        last = max(0, len(by_place) - len(self.node.args.defaults))
        return (*by_place[:last], *(name for name, default in named if default is None))

    @cached_property
    def last_return(self) -> ast.expr | None:
        """The expression in the last `return` with a value, in the order of the source."""
        found = [
            node.value
            for node in own_nodes(self.node)
            if isinstance(node, ast.Return) and node.value
        ]
        return found[-1] if found else None

    @cached_property
    def returned(self) -> tuple[str, ...]:
        """The names of the returned items; "" for an item without a name, such as `hs[len(x) - 1]`."""
        items = items_of(self.last_return)
        return tuple("gradients" if is_made_dict(item) else name_of(item) for item in items)

    @property
    def returned_class(self) -> str:
        """The class whose instance the function returns, as `Result` in `return Result(loss, grads)`; or ""."""
        value = self.last_return
        return name_of(value.func) if isinstance(value, ast.Call) and is_instance(value) else ""

    @cached_property
    def nested(self) -> dict[str, ast.expr]:
        """The items of `returned` that are tuples, lists, dicts or instances in the `return`, by their positions."""
        found = {}
        for place, item in enumerate(items_of(self.last_return)):
            literal = self.written_down(item)
            if (
                isinstance(literal, (ast.Tuple, ast.List, ast.Dict))
                or is_instance(literal)
                or dict_keys(literal)
            ):
                found[str(place)] = literal
        return found

    def written_down(self, item: ast.expr) -> ast.expr:
        """Return the tuple of gradients that the function assigns to a returned variable; otherwise `item` itself."""
        if not isinstance(item, ast.Name):
            return item
        values = [value for name, value in self.assigned() if name == item.id]
        tuples = [v for v in values if isinstance(v, (ast.Tuple, ast.List)) and len(v.elts) > 2]
        named = [v for v in tuples if all(name_of(n).lower()[:1] in ("d", "g") for n in v.elts)]
        return named[0] if len(values) == len(named) == 1 else item

    @cached_property
    def made_dicts(self) -> frozenset[str]:
        """The variables that the function assigns dicts whose keys are not written down, or empty ones."""
        return frozenset(
            name
            for name, value in self.assigned()
            if is_made_dict(value) or ast.unparse(value) in ("{}", "dict()")
        )

    @cached_property
    def made_lists(self) -> frozenset[str]:
        """The variables that the function assigns lists whose items are not written down."""
        return frozenset(
            name
            for name, value in self.assigned()
            if isinstance(value, (ast.ListComp, ast.GeneratorExp))
            or (isinstance(value, ast.Call) and name_of(value.func) in ("list", "tuple", "map"))
        )

    @cached_property
    def from_logarithms(self) -> frozenset[str]:
        """The variables to which the function assigns or adds a value with a logarithm, such as the loss."""
        return frozenset(
            target.id
            for n in ast.walk(self.node)
            if isinstance(n, (ast.Assign, ast.AugAssign))
            and any(
                isinstance(c, ast.Call) and name_of(c.func) in ("log", "log2", "log_softmax")
                for c in ast.walk(n.value)
            )
            for target in (n.targets if isinstance(n, ast.Assign) else [n.target])
            if isinstance(target, ast.Name)
        )

    def assigned(self) -> Iterator[tuple[str, ast.expr]]:
        """Yield each variable that an assignment of the function sets, and its value."""
        for n in ast.walk(self.node):
            if isinstance(n, ast.Assign):
                for target in n.targets:
                    if isinstance(target, ast.Name):
                        yield target.id, n.value

    @cached_property
    def stored(self) -> frozenset[str]:
        """The local names that the function assigns, without those that it declares global."""
        names = {
            n.id
            for n in ast.walk(self.node)
            if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
        }
        return frozenset(names - self.declared_global)

    @cached_property
    def declared_global(self) -> frozenset[str]:
        """The names in the function's statements `global`."""
        return frozenset(
            name for n in ast.walk(self.node) if isinstance(n, ast.Global) for name in n.names
        )

    @cached_property
    def read_globals(self) -> frozenset[str]:
        """The names that the function reads and neither assigns nor takes as arguments."""
        every = {n.id for n in ast.walk(self.node) if isinstance(n, ast.Name)}
        own = {
            a.arg
            for n in ast.walk(self.node)
            if isinstance(n, ast.arguments)
            for a in arguments_of(n)
        }
        return frozenset(every - self.stored - own)

    @cached_property
    def called(self) -> frozenset[str]:
        """The names of the functions and the methods that the function calls."""
        calls = [n.func for n in ast.walk(self.node) if isinstance(n, ast.Call)]
        return frozenset(
            f.id if isinstance(f, ast.Name) else f.attr
            for f in calls
            if isinstance(f, (ast.Name, ast.Attribute))
        )

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """The string constants in the function, and the letters of those over which it loops."""
        found = [
            n.value
            for n in ast.walk(self.node)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
        loops = [n.iter for n in ast.walk(self.node) if isinstance(n, (ast.For, ast.comprehension))]
        letters = [
            n.value for n in loops if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
        return (*found, *(letter for text in letters for letter in text))

    def keys_of(self, base: str) -> tuple[str, ...]:
        """Return the constant keys with which the function reads or stores `base[...]`.

        `base` is source such as "parameters" or "self.params". Other variables for the same dict count too.
        """
        bases = {base, *self.aliases.get(base, ())}
        return tuple(
            n.slice.value
            for n in ast.walk(self.node)
            if isinstance(n, ast.Subscript)
            and isinstance(n.slice, ast.Constant)
            and isinstance(n.slice.value, str)
            and ast.unparse(n.value) in bases
        )

    @cached_property
    def aliases(self) -> dict[str, frozenset[str]]:
        """The further variables for each attribute, as g in `g = self.grads` and `g = self.grads = {}`."""
        found: dict[str, set[str]] = {}
        for n in ast.walk(self.node):
            if not isinstance(n, ast.Assign):
                continue
            pairs = [(target, n.value) for target in n.targets]
            pairs += [(one, other) for one in n.targets for other in n.targets if one is not other]
            for target, value in list(pairs):
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    pairs += zip(target.elts, value.elts, strict=False)
            for target, value in pairs:
                if isinstance(target, ast.Name) and isinstance(value, ast.Attribute):
                    found.setdefault(ast.unparse(value), set()).add(target.id)
        return {base: frozenset(names) for base, names in found.items()}

    def attributes_of(self, base: str, stored: bool = False) -> tuple[str, ...]:
        """Return the attributes of `base` that the function reads or stores; only stored ones on request."""
        inside = {
            id(n.value)
            for n in ast.walk(self.node)
            if isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load)
        }
        return tuple(
            n.attr
            for n in ast.walk(self.node)
            if isinstance(n, ast.Attribute)
            and ast.unparse(n.value) == base
            and not (stored and isinstance(n.ctx, ast.Load) and id(n) not in inside)
        )

    def global_defaults(self) -> dict[str, str]:
        """Return the arguments whose defaults are global variables, with the names of these."""
        every = [*self.node.args.posonlyargs, *self.node.args.args]
        defaults = self.node.args.defaults
        given = zip([a.arg for a in every][len(every) - len(defaults) :], defaults, strict=True)
        return {name: value.id for name, value in given if isinstance(value, ast.Name)}

    def fields(self) -> list[tuple[str, str, str]]:
        """Return the base, the name and the field of each expression such as `parameters.W_f.value`.

        If the base is an argument whose default is a global variable, it is this variable.
        """
        globals_ = self.global_defaults()
        return [
            (globals_.get(n.value.value.id, n.value.value.id), n.value.attr, n.attr)
            for n in ast.walk(self.node)
            if isinstance(n, ast.Attribute)
            and isinstance(n.value, ast.Attribute)
            and isinstance(n.value.value, ast.Name)
        ]

    def stored_fields(self) -> list[str]:
        """Return the attributes that the function assigns, of any object, in the order of the source."""
        return [
            n.attr
            for n in ast.walk(self.node)
            if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)
        ]

    def unpacked_from(self, base: str) -> tuple[str, ...]:
        """Return the names on the left of an assignment such as `U, W, V = base`."""
        for n in ast.walk(self.node):
            if isinstance(n, ast.Assign) and ast.unparse(n.value) == base:
                target = n.targets[0]
                if isinstance(target, (ast.Tuple, ast.List)):
                    return tuple(name_of(item) for item in target.elts)
        return ()

    def unpacked_through(self, base: str) -> tuple[str, ...]:
        """Return the names on the left of an assignment such as `U, W, V = unpack(base, K, H)`."""
        for n in ast.walk(self.node):
            if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call) and n.value.args:
                target = n.targets[0]
                if isinstance(target, ast.Tuple) and ast.unparse(n.value.args[0]) == base:
                    return tuple(name_of(item) for item in target.elts)
        return ()

    @cached_property
    def dict_literals(self) -> dict[str, tuple[str, ...]]:
        """The keys of each dict that the function writes down and assigns, by the source of its target."""
        return {
            ast.unparse(target): keys
            for n in ast.walk(self.node)
            if isinstance(n, ast.Assign)
            for target in n.targets
            if (keys := dict_keys(n.value))
        }


@dataclass(frozen=True)
class ClassFacts:
    """What the source of a class says, and what an instance showed if one was made.

    Attributes:
        node: the definition.
        methods: its methods by name.
        attributes: the attributes of an instance.
        known_keys: the keys of each of these attributes that is a dict.
        lists: those that are lists of one array.
    """

    node: ast.ClassDef
    methods: dict[str, FunctionFacts]
    attributes: tuple[str, ...] = ()
    known_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.node.name

    @property
    def bases(self) -> tuple[str, ...]:
        """The source of each base class."""
        return tuple(ast.unparse(base) for base in self.node.bases)

    @property
    def is_dataclass(self) -> bool:
        """Whether a decorator makes it a dataclass."""
        return any("dataclass" in ast.unparse(mark) for mark in self.node.decorator_list)

    @property
    def is_named_tuple(self) -> bool:
        """Whether it is a named tuple."""
        return any(base.split(".")[-1] == "NamedTuple" for base in self.bases)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names with a type in the body of the class, and the attributes that its methods assign."""
        typed = [
            n.target.id
            for n in self.node.body
            if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        ]
        return tuple(dict.fromkeys((*typed, *self.stored_attributes())))

    def stored_attributes(self, base: str = "") -> tuple[str, ...]:
        """Return the attributes that the methods assign to the instance, in the order of the source."""
        found = [
            name
            for method in self.methods.values()
            if method.instance
            for name in method.attributes_of(method.instance + base, stored=True)
        ]
        return tuple(dict.fromkeys((*found, *(() if base else self.attributes))))

    def keys(self, attribute: str) -> tuple[str, ...]:
        """Return the constant keys of the dict that the instance has as `attribute`."""
        found: list[str] = []
        for method in self.methods.values():
            base = f"{method.instance}.{attribute}"
            found += method.dict_literals.get(base, ())
            found += method.keys_of(base)
        return tuple(dict.fromkeys((*found, *self.known_keys.get(attribute, ()))))


@dataclass(frozen=True)
class Contents:
    """What a file defines.

    Attributes:
        path: the file.
        tree: its syntax tree.
        functions: the functions at the top level by name.
        classes: the classes at the top level by name.
        memory: what readers of these facts found out, so that each finds it out only once.
    """

    path: Path
    tree: ast.Module
    functions: dict[str, FunctionFacts]
    classes: dict[str, ClassFacts]
    memory: dict[str, Any] = field(default_factory=dict)

    def reached_from(self, facts: FunctionFacts) -> tuple[FunctionFacts, ...]:
        """Return a function and all functions of the file that it calls, directly or indirectly."""
        found = [facts]
        for one in found:
            methods = self.classes[one.owner].methods if one.owner in self.classes else {}
            for name in sorted(one.called):
                other = methods.get(name) or self.functions.get(name)
                if other is not None and other not in found:
                    found.append(other)
        return tuple(found)

    @cached_property
    def made_functions(self) -> dict[str, frozenset[str]]:
        """The functions that a call makes, such as `f = jax.value_and_grad(loss)`, with the names in the call."""
        found: dict[str, frozenset[str]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                inner = frozenset(n.id for n in ast.walk(node.value) if isinstance(n, ast.Name))
                for target in node.targets:
                    if isinstance(target, ast.Name) and inner & set(self.functions):
                        found[target.id] = inner & frozenset(self.functions)
        return found

    @cached_property
    def bodies(self) -> tuple[tuple[ast.AST, ...], ...]:
        """The assignments and the calls in each function and method, and those at the top level."""
        every: list[ast.AST] = [f.node for f in self.functions.values()]
        every += [m.node for owner in self.classes.values() for m in owner.methods.values()]
        return tuple(
            tuple(n for n in own_nodes(node) if isinstance(n, (ast.Assign, ast.Call)))
            for node in (*every, self.tree)
        )

    def mentions(self, *names: str) -> bool:
        """Return True if the file uses one of these names, alone or as an attribute."""
        return any(
            (n.id if isinstance(n, ast.Name) else n.attr) in names
            for n in ast.walk(self.tree)
            if isinstance(n, (ast.Name, ast.Attribute))
        )

    def imports(self, package: str) -> bool:
        """Return True if the file imports `package`, such as "torch"."""
        return any(
            name.split(".")[0] == package
            for n in ast.walk(self.tree)
            if isinstance(n, (ast.Import, ast.ImportFrom))
            for name in (
                [n.module or ""] if isinstance(n, ast.ImportFrom) else [a.name for a in n.names]
            )
        )


def read_contents(path: Path) -> Contents:
    """Return what a file defines.

    Raises:
        DoctorError: the file cannot be read, is written for Python 2, or is nested too deeply.
        SyntaxError: it is not Python.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DoctorError(f"{path.name} is larger than {LARGEST:,} bytes; is it a program?")
        source: bytes | str = path.read_bytes()
    except OSError as error:
        raise DoctorError(f"{path} cannot be read: {error.strerror}.") from None
    if is_notebook(path):
        code_of_notebook(path)  # raises an error if it is not a notebook
        source = code_of(path)
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as error:
        if is_python_2(error):
            raise DoctorError(python_2_message(path, error)) from None
        raise
    except (ValueError, RecursionError, MemoryError):
        raise DoctorError(f"{path.name} is not a Python program; check the file.") from None
    functions: dict[str, FunctionFacts] = {}
    classes: dict[str, ClassFacts] = {}
    for node in tree.body:
        if isinstance(node, Definition):
            functions[node.name] = FunctionFacts(node)
        elif isinstance(node, ast.ClassDef):
            methods = {
                n.name: FunctionFacts(n, node.name) for n in node.body if isinstance(n, Definition)
            }
            classes[node.name] = ClassFacts(node, methods)
    return Contents(path, tree, functions, with_inherited(classes))


def with_inherited(classes: dict[str, ClassFacts]) -> dict[str, ClassFacts]:
    """Return the classes with the methods that they inherit from classes of the file."""
    found: dict[str, ClassFacts] = {}
    for name, one in classes.items():
        inherited: dict[str, FunctionFacts] = {}
        for base in reversed(one.bases):
            if base in found:
                inherited |= found[base].methods
        own = {n: replace(f, owner=name) for n, f in (inherited | one.methods).items()}
        found[name] = replace(one, methods=own)
    return found


def is_python_2(error: SyntaxError) -> bool:
    """Return True if a syntax error comes from Python 2, such as `print` without parentheses."""
    line = (error.text or "").strip()
    return "call to 'print'" in str(error.msg) or line.startswith("print ")


def python_2_message(path: Path, error: SyntaxError) -> str:
    """Return the message for a file of Python 2, which Python 3 cannot read."""
    return (
        f"{path.name} is written for Python 2: line {error.lineno} has `print` without parentheses.\n"
        f"    {(error.text or '').strip()}\nWrite print(…), and range instead of xrange, so that Python 3 "
        "can run the file."
    )


def leftovers_of_python_2(contents: Contents) -> dict[str, int]:
    """Return the names of Python 2 in a file that Python 3 does not have, and the line of each.

    A name that the file defines itself, such as `xrange = range`, is left out.
    """
    found: dict[str, int] = {}
    stored: set[str] = set()
    for n in ast.walk(contents.tree):
        if isinstance(n, ast.Name):
            if isinstance(n.ctx, ast.Load):
                found.setdefault(n.id, n.lineno)
            else:
                stored.add(n.id)
        elif isinstance(n, ast.Attribute):
            found.setdefault(n.attr, n.lineno)
    return {name: found[name] for name in PYTHON_2 if name in found and name not in stored}


# Functions of several arguments that return a changed form of the first one.
CHANGING: Final = ("max", "min", "maximum", "minimum", "round", "clip", "around")


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function in the order of the source, without those of functions in it."""
    for child in ast.iter_child_nodes(function):
        if isinstance(child, (*Definition.__args__, ast.Lambda, ast.ClassDef)):
            continue
        yield child
        yield from own_nodes(child)


def arguments_of(node: ast.arguments) -> list[ast.arg]:
    """Return all arguments of a function or a lambda."""
    stars = [a for a in (node.vararg, node.kwarg) if a is not None]
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *stars]


def is_instance(node: ast.expr | None) -> bool:
    """Return True for a call of a class with several arguments, such as `Result(loss, grads)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    return node.func.id[:1].isupper() and len(node.args) + len(node.keywords) > 1


def items_of(value: ast.expr | None) -> list[ast.expr]:
    """Return the items of a returned tuple, list or instance; a single item for other values."""
    if isinstance(value, (ast.Tuple, ast.List)):
        return [written_items(item) for item in value.elts]
    if isinstance(value, ast.Call) and is_instance(value):
        return [*value.args, *(word.value for word in value.keywords)]
    return [written_items(value)] if value is not None else []


def written_items(value: ast.expr) -> ast.expr:
    """Return the tuple that `[g / T for g in (dU, dW)]` goes through; other expressions as they are."""
    inner = value.args[0] if isinstance(value, ast.Call) and len(value.args) == 1 else value
    if isinstance(inner, (ast.ListComp, ast.GeneratorExp)):
        whole = inner.generators[0].iter
        if isinstance(whole, (ast.Tuple, ast.List)) and not inner.generators[0].ifs:
            return whole
    return value


def name_of(node: ast.expr) -> str:
    """Return the name that an expression shows: of a variable, an attribute, or inside a conversion.

    `dWxh`, `self.dWxh`, `grads["dWxh"]`, `-dWxh / T` and `np.array(dWxh)` all show "dWxh". Return "" if
    the expression shows none, such as `hs[len(x) - 1]`.
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Starred):
        return name_of(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr if node.attr != "T" else name_of(node.value)
    if isinstance(node, ast.Subscript):
        key = node.slice
        if isinstance(key, ast.Slice):
            return name_of(node.value)
        return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.Mult, ast.Add, ast.Sub)):
        return name_of(node.left) or name_of(node.right)
    if isinstance(node, ast.UnaryOp):
        return name_of(node.operand)
    if isinstance(node, ast.IfExp):
        return name_of(node.body) or name_of(node.orelse)
    if isinstance(node, ast.Call):
        if len(node.args) == 1 or (node.args and name_of(node.func) in CHANGING):
            return name_of(node.args[0])
        if not node.args and isinstance(node.func, ast.Attribute):
            return name_of(node.func.value)
    return ""


def is_made_dict(node: ast.expr) -> bool:
    """Return True for a dict whose keys are not written down: {… for …}, dict(zip(…)), {**…}."""
    if isinstance(node, ast.Call) and name_of(node.func) in ("dict", "OrderedDict") and node.args:
        return isinstance(node.args[0], (ast.Call, ast.GeneratorExp, ast.ListComp))
    return isinstance(node, ast.DictComp)


def dict_keys(node: ast.expr) -> tuple[str, ...]:
    """Return the constant keys of a dict that is written down, as {…} or dict(…); () for others."""
    if isinstance(node, ast.Dict):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return tuple(key for key in keys if isinstance(key, str))
    if isinstance(node, ast.Call) and name_of(node.func) == "dict":
        return tuple(word.arg for word in node.keywords if word.arg)
    return ()


def joined_first(facts: FunctionFacts, is_state: Callable[[str], bool]) -> str:
    """Return "hx" or "xh" if the function joins state and input in this order; "" if it does not.

    `is_state` says whether a name is that of a state.
    """
    for n in ast.walk(facts.node):
        name = name_of(n.func) if isinstance(n, ast.Call) else ""
        if isinstance(n, ast.Call) and name in JOINING and n.args:
            first = n.args[0]
            items = first.elts if isinstance(first, (ast.Tuple, ast.List)) else n.args
            if len(items) == 2:
                return "hx" if is_state(base_name(items[0])) else "xh"
    return ""


def base_name(node: ast.expr) -> str:
    """Return the variable at the bottom of an expression, such as "hs" for `hs[t - 1]`."""
    while isinstance(node, (ast.Subscript, ast.Call, ast.Attribute)):
        if isinstance(node, ast.Attribute):
            return (
                node.attr
                if node.attr not in ("T", "reshape", "flatten", "ravel")
                else base_name(node.value)
            )
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
