"""LaTeX that code shows as formulas, written anew from what mathematics needs: nothing else gets to LaTeX or a page."""

import contextlib
import re
from collections.abc import Iterator

from .formulas import FormulaError, mathml

LENGTH = 5_000
DEPTH = 40
COLUMNS = 10  # which amsmath has in a matrix
ROWS = 40  # on a page, within which LaTeX keeps a formula
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.S)
DOLLARS = re.compile(r"(\$\$?)(.*)\1|\\\[(.*)\\\]|\\\((.*)\\\)", re.S)
AROUND = re.compile(r"\\begin\{((?:equation|align|aligned|gather|gathered|split)\*?)\}(.*)\\end\{\1\}", re.S)
SPACING = re.compile(r"\[-?[\d.]+(?:pt|em|ex|mm|cm)\]")
CHARACTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-*/=<>()[]|.,;:!?'@~")
NO_TEXT = set("\\{}$%#&_^~`")


def _commands(names: str) -> set[str]:
    return {f"\\{name}" for name in re.findall(r"\S+", names)}


# What stands by itself, in amsmath and amssymb and in the converter to MathML alike.
SYMBOLS = _commands(
    r"""{ } | % $ # & _ , ; : !
    aleph alpha amalg angle approx approxeq arccos arcsin arctan arg Arrowvert arrowvert ast asymp backepsilon backsim
    backsimeq backslash barwedge because beta beth between bigcap bigcirc bigcup bigodot bigoplus bigotimes bigsqcup
    bigstar bigtriangledown bigtriangleup biguplus bigvee bigwedge blacklozenge blacksquare blacktriangle
    blacktriangledown blacktriangleleft blacktriangleright bot bowtie Box boxdot boxminus boxplus boxtimes bracevert
    bullet Bumpeq bumpeq Cap cap cdot cdots centerdot chi circ circeq circlearrowleft circlearrowright circledast
    circledcirc circleddash circledS clubsuit complement cong coprod cos cosh cot coth csc Cup cup curlyeqprec
    curlyeqsucc curlyvee curlywedge curvearrowleft curvearrowright dagger daleth dasharrow dashleftarrow dashrightarrow
    dashv ddagger ddots deg Delta delta det diagdown diagup Diamond diamond diamondsuit digamma dim div divideontimes
    doteq doteqdot dotplus dotsb dotsc dotsi dotsm dotso doublebarwedge Downarrow downarrow downdownarrows
    downharpoonleft downharpoonright ell emptyset epsilon eqcirc eqsim eqslantgtr eqslantless equiv eta eth exists exp
    fallingdotseq Finv flat forall frown Game Gamma gamma gcd ge geq geqq geqslant gets gg ggg gggtr gimel gnapprox gneq
    gneqq gnsim gtrapprox gtrdot gtreqless gtreqqless gtrless gtrsim hbar heartsuit hom hookleftarrow hookrightarrow
    hslash iiiint iiint iint Im imath impliedby implies in inf infty injlim int intercal iota jmath kappa ker Lambda
    lambda land langle lbrace lbrack lceil ldots le leadsto Leftarrow leftarrow leftarrowtail leftharpoondown
    leftharpoonup leftleftarrows Leftrightarrow leftrightarrow leftrightarrows leftrightharpoons leftrightsquigarrow
    leftthreetimes leq leqq leqslant lessapprox lessdot lesseqgtr lesseqqgtr lessgtr lesssim lfloor lg lgroup lhd lim
    liminf limsup ll llcorner Lleftarrow lll llless lmoustache ln lnapprox lneq lneqq lnot lnsim log Longleftarrow
    longleftarrow Longleftrightarrow longleftrightarrow longmapsto Longrightarrow longrightarrow looparrowleft
    looparrowright lor lozenge lrcorner Lsh ltimes lVert lvert mapsto max measuredangle medspace mho mid min models mp
    mu multimap nabla natural ncong ne nearrow neg negmedspace negthickspace negthinspace neq nexists ngeq ngeqq
    ngeqslant ngtr ni nLeftarrow nleftarrow nLeftrightarrow nleftrightarrow nleq nleqq nleqslant nless nmid notin
    nparallel nprec npreceq nRightarrow nrightarrow nshortmid nshortparallel nsim nsubseteq nsubseteqq nsucc nsucceq
    nsupseteq nsupseteqq ntriangleleft ntrianglelefteq ntriangleright ntrianglerighteq nu nVDash nVdash nvDash nvdash
    nwarrow odot oint Omega omega ominus oplus oslash otimes owns parallel partial perp Phi phi Pi pi pitchfork pm Pr
    prec precapprox preccurlyeq preceq precnapprox precneqq precnsim precsim prime prod projlim propto Psi psi qquad
    quad rangle rbrace rbrack rceil Re rfloor rgroup rhd rho Rightarrow rightarrow rightarrowtail rightharpoondown
    rightharpoonup rightleftarrows rightleftharpoons rightrightarrows rightsquigarrow rightthreetimes risingdotseq
    rmoustache Rrightarrow Rsh rtimes rVert rvert searrow sec setminus sharp shortmid shortparallel Sigma sigma sim
    simeq sin sinh slash smallfrown smallint smallsetminus smallsmile smile spadesuit sphericalangle sqcap sqcup
    sqsubset sqsubseteq sqsupset sqsupseteq square star Subset subset subseteq subseteqq subsetneq subsetneqq succ
    succapprox succcurlyeq succeq succnapprox succneqq succnsim succsim sum sup Supset supset supseteq supseteqq
    supsetneq supsetneqq surd swarrow tan tanh tau therefore Theta theta thickapprox thicksim thickspace thinspace times
    to top triangle triangledown triangleleft trianglelefteq triangleq triangleright trianglerighteq twoheadleftarrow
    twoheadrightarrow ulcorner Uparrow uparrow Updownarrow updownarrow upharpoonleft upharpoonright uplus Upsilon
    upsilon upuparrows urcorner varDelta varepsilon varGamma varinjlim varkappa varLambda varliminf varlimsup varnothing
    varOmega varPhi varphi varPi varpi varprojlim varpropto varPsi varrho varSigma varsigma varTheta vartheta
    vartriangle vartriangleleft vartriangleright varUpsilon varXi Vdash vDash vdash vdots vee veebar Vert vert Vvdash
    wedge wp wr Xi xi zeta
    """
) | {r"\ "}
LIMITS = _commands("bigcap bigcup bigoplus bigotimes coprod inf int lim max min oint prod sum sup")
STYLES = _commands("displaystyle textstyle scriptstyle scriptscriptstyle")
ONE_ARGUMENT = _commands(
    """boldsymbol mathbb mathbf mathcal mathfrak mathit mathrm mathsf mathtt acute bar breve check ddot dddot dot grave
    hat mathring tilde vec widehat widetilde overbrace overleftarrow overleftrightarrow overline overrightarrow
    underbrace underleftarrow underleftrightarrow underline underrightarrow boxed phantom"""
)
TWO_ARGUMENTS = _commands("frac cfrac dfrac tfrac binom dbinom tbinom overset underset")
ARGUMENTS = {**dict.fromkeys(ONE_ARGUMENT, 1), **dict.fromkeys(TWO_ARGUMENTS, 2)}
TEXTS = _commands("text mbox textrm")
BIG = _commands("bigl Bigl biggl Biggl bigr Bigr biggr Biggr")
DELIMITERS = set("()[]/|.") | _commands(
    """{ } | langle rangle lceil rceil lfloor rfloor lvert rvert lVert rVert vert Vert lbrace rbrace lbrack rbrack
    uparrow downarrow updownarrow Uparrow Downarrow Updownarrow backslash"""
)
MATRICES = ("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "smallmatrix", "cases")


def allowed_formula(latex: str) -> str:
    """What a formula says, in LaTeX for the inside of a display.

    Args:
        latex: The formula, as code shows it: with dollars, brackets or an environment around it, or without.

    Raises:
        FormulaError: It has a command that is not among those known here, its braces and environments do not end where
            they should, or a browser could not show it.
    """
    if not isinstance(latex, str):
        raise FormulaError("it is no text")
    if len(latex) > LENGTH:
        raise FormulaError(f"it has {len(latex):,} characters, and {LENGTH:,} at most are shown as a formula")
    rows = _Reader(_inside(latex)).formula()
    if not rows:
        raise FormulaError("there is nothing in it")
    formula = "".join(rows[0]) if len(rows) == 1 else _joined(rows)
    mathml(formula, inline=False)
    return formula


def _inside(latex: str) -> str:
    """A formula without what makes a display of it."""
    latex = latex.strip()
    while match := DOLLARS.fullmatch(latex) or AROUND.fullmatch(latex):
        latex = match[match.lastindex or 0].strip()
    return latex


def _joined(rows: list[list[str]]) -> str:
    return r" \\ ".join(" & ".join(row) for row in rows)


class _Reader:
    """Reads a formula from its start, and gives each part as it may be written."""

    def __init__(self, latex: str):
        self._tokens = TOKEN.findall(latex)
        self._place = 0
        self._depth = 0

    def formula(self) -> list[list[str]]:
        """The rows of the formula, each with its columns."""
        self._skip(r"\displaystyle")  # which a display has anyway
        rows = self._rows(columns=2)
        if self._next is not None:
            raise FormulaError(f"there is no begin to {self._next}")
        return rows

    @property
    def _next(self) -> str | None:
        """The next token that is no blank."""
        while self._place < len(self._tokens) and self._tokens[self._place].isspace():
            self._place += 1
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _take(self) -> str:
        if (word := self._next) is None:
            raise FormulaError("it ends too early")
        self._place += 1
        return word

    def _skip(self, *tokens: str) -> bool:
        """Whether one of these came next, which is then behind."""
        found = self._next in tokens
        self._place += found
        return found

    def _expect(self, word: str) -> None:
        if not self._skip(word):
            raise FormulaError(f"{word} is missing before {self._next or 'its end'}")

    def _rows(self, columns: int) -> list[list[str]]:
        rows = [[self._column()]]
        while self._next in ("&", r"\\"):
            if self._take() == "&":
                rows[-1].append(self._column())
                if len(rows[-1]) > columns:
                    raise FormulaError(f"it has more than {columns} columns")
            else:
                self._skip_spacing()
                rows.append([self._column()])
                if len(rows) > ROWS:
                    raise FormulaError(f"it has more than {ROWS} rows")
        while rows and not any(rows[-1]):
            rows.pop()
        return rows

    def _column(self) -> str:
        items = self._items()
        # At the start LaTeX may take these for its own, and docutils a colon.
        return f"{{}}{items}" if items.startswith(("[", "*", ":")) else items

    def _skip_spacing(self) -> None:
        """A distance behind the end of a row, which decides nothing here."""
        if match := SPACING.match("".join(self._tokens[self._place : self._place + 10])):
            self._place += len(TOKEN.findall(match[0]))

    def _items(self) -> str:
        """What comes up to the end of a group or a column."""
        items = ""
        with self._nested():
            while self._next not in (None, "}", "&", r"\\", r"\right", r"\end"):
                items += self._scripted()
        return items

    def _scripted(self) -> str:
        """A part with what stands above and below it."""
        limits = self._next in LIMITS
        base = "{}" if self._next in ("^", "_", "'") else self._part()
        if limits and self._next in (r"\limits", r"\nolimits"):
            base += self._take()
        while self._skip("'"):
            base += "'"
        scripts = {}
        while (sign := self._next) in ("^", "_"):
            if sign in scripts or (self._take() == "^" and base.endswith("'")):
                raise FormulaError(f"there are two {sign} at one place")
            scripts[sign] = self._argument()
        written = base + "".join(f"{sign}{{{scripts[sign]}}}" for sign in "_^" if sign in scripts)
        while "^" not in scripts and not base.endswith("'") and self._skip("'"):
            written += "'"
        return written

    def _argument(self) -> str:
        with self._nested():
            return self._group() if self._next == "{" else self._part()

    def _group(self) -> str:
        """What is between braces."""
        self._expect("{")
        items = self._items()
        self._expect("}")
        return items

    @contextlib.contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > DEPTH:
            raise FormulaError("it is nested too deep")
        yield
        self._depth -= 1

    def _part(self) -> str:
        if self._next == "{":
            return f"{{{self._group()}}}"
        word = self._take()
        if word in CHARACTERS:
            return word
        if word in SYMBOLS or word in STYLES:
            return f"{word} "
        if word in ARGUMENTS:
            return word + "".join(f"{{{self._argument()}}}" for _ in range(ARGUMENTS[word]))
        if word in TEXTS:
            return rf"\text{{{self._text()}}}"
        if word in BIG:
            return f"{word}{self._delimiter()} "
        if word == r"\operatorname":
            return rf"\operatorname{{{self._name()}}}"
        if word == r"\sqrt":
            return rf"\sqrt{self._index()}{{{self._argument()}}}"
        if word == r"\left":
            begin, items = self._delimiter(), self._items()
            self._expect(r"\right")
            return rf"\left{begin} {items}\right{self._delimiter()} "
        if word == r"\begin" and (name := self._name()) in MATRICES:
            rows = self._rows(columns=2 if name == "cases" else COLUMNS)
            self._expect(r"\end")
            if self._name() != name:
                raise FormulaError(f"another environment ends in {name}")
            return rf"\begin{{{name}}} {_joined(rows)} \end{{{name}}}"
        if word == r"\begin":
            raise FormulaError(f"the environment {name[:40]} is not among those known here")
        raise FormulaError(f"{word[:40] if word.isprintable() else ascii(word)} is not among what is known here")

    def _delimiter(self) -> str:
        if (word := self._take()) not in DELIMITERS:
            raise FormulaError(f"{word} is no delimiter")
        return word

    def _text(self) -> str:
        """The words between braces."""
        self._expect("{")
        words = []
        while self._place < len(self._tokens) and self._tokens[self._place] != "}":
            words.append(self._tokens[self._place])
            self._place += 1
        self._expect("}")
        text = re.sub(r"\s+", " ", "".join(words))
        if not text.isprintable() or NO_TEXT & set(text):
            raise FormulaError(f"{text.strip()[:40]!r} is no plain text")
        return text

    def _name(self) -> str:
        """A name between braces."""
        name = self._text()
        if not re.fullmatch(r"[A-Za-z]+\*?", name):
            raise FormulaError(f"{name[:40]!r} is no name")
        return name

    def _index(self) -> str:
        """What stands in a root, in brackets."""
        if not self._skip("["):
            return ""
        index = ""
        while self._next in CHARACTERS - {"[", "]"}:
            index += self._take()
        self._expect("]")
        return f"[{index}]"
