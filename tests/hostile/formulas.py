"""Formulas that try to do more than mathematics, that are broken, or that the converter to MathML does not know."""

import random
from collections.abc import Iterator

# What reads, writes and runs, ends or redefines what is around it, or does not end.
COMMANDS = r"""
    \input{/etc/passwd} § \input /etc/passwd § \include{x} § \InputIfFileExists{x}{}{} § \openin1=/etc/passwd § \read1
    to\x § \immediate\write18{id} § \write18{id} § \newwrite\x § \immediate\openout\x=x.tex § \closeout\x § \write\x{a}
    § \verbatiminput{/etc/passwd} § \lstinputlisting{/etc/passwd} § \includegraphics{/etc/passwd} § \ShellEscape{id} §
    \directlua{os.execute("id")} § \catcode`\@=11 § \def\x{\x}\x § \gdef\frac{} § \let\frac\relax § \edef\x{a} §
    \newcommand{\x}{\x}\x § \renewcommand{\frac}{} § \csname input\endcsname{x} § \expandafter\input\x §
    \loop\iftrue\repeat § \special{pdf:literal q} § \pdfliteral{q} § \href{javascript:alert(1)}{x} § \url{javascript:0}
    § \unicode{x41} § \require{html} § \class{a}{b} § \cssId{a}{b} § \style{a}{b} § \htmlData{a=b}{c} § \label{eq} §
    \ref{eq} § \tag{1} § \cite{x} § \usepackage{x} § \documentclass{x} § \begin{document} § \end{document} §
    \begin{verbatim}x\end{verbatim} § \verb|x| § \par § \hbox{x} § \vbox{x} § \halign{x} § \hspace{1cm} §
    \hspace{"><script>0</script>m} § \vspace{99cm} § \rule{9cm}{9cm} § \mbox{\input{x}} § \text{\input{x}} §
    \operatorname{\input{x}} § \textcolor{red}{x} § \color{red} § \$x\input{y}$ § \message{x} § \errmessage{x} §
    \show\x § \stop § \end § \batchmode § \scrollmode § \everymath{x} § \afterassignment\x § \aftergroup\input §
    \futurelet\x\y\z § \char`\\input § ^^5cinput{x} § \string\input § \scantokens{\input{x}} § \uppercase{\input{x}} §
    \noexpand\input § \jobname § \the\inputlineno § \meaning\x
"""
PLACES = (
    "{}",
    "x {} y",
    r"\frac{{{}}}{{2}}",
    r"\begin{{matrix}} 1 & {} \end{{matrix}}",
    "x^{{{}}}",
    r"\left( {} \right)",
)
ENDS = (
    r"\end{equation*}",
    r"\end{split}",
    r"\end{split}\end{equation*}\input{x}\begin{equation*}\begin{split}",
    r"\]",
    r"\)",
    "$",
    "$$",
    "}",
    "}}}",
    r"\right)",
    r"\end{matrix}",
    r"\end{cases}",
)
BROKEN = r"""
    { § } § \ § x\ § x^ § x_ § x^^2 § x^2^3 § x_1_2 § x'^2 § \frac § \frac{1} § \frac{1 § \sqrt[ § \sqrt[3 § \sqrt{ §
    \hat § \left § \left( § \left( x § \right § \right) § \left( x \right § \left\input x \right) § \left< x \right> §
    \begin § \begin{ § \begin{} § \begin{matrix} § \begin{matrix} x § \begin{matrix} x \end{pmatrix} § \end{matrix} §
    \begin{array}{c} x \end{array} § \begin{tabular}{c} x \end{tabular} § \begin{nosuch} x \end{nosuch} §
    \begin{matrix*} x \end{matrix*} § a & b & c \\ d § 1 & 2 & 3 & 4 & 5 & 6 \\ 7 § \begin{cases} 1 & 2 & 3 \end{cases}
    § \text § \text{ § \text x § \text{a $x$ b} § \text{a_b} § \text{#1} § \text{50%} § \text{^^41} § \operatorname §
    \operatorname{} § \operatorname{a b} § \operatorname*{x} § \bigl § \bigl x § \limits § x\limits_1 § \alpha\limits_1
    § 50% of x § #1 § a " b § a ` b § \nosuch § \nosuch{1} § \Frac{1}{2} § \alph § \alphabeta § \9 § \@ § é § 漢 § β + δ
    § x₂ § √x § \middle| § \not= § \cal A § \over § 1 \over 2 § \bf x § \rm x § \displaylines{x} § \substack{a \\ b} §
    \mathop{x} § \mathrel{x} § x :math:`y` § ` x `_ § \pmod{x} § \underbracket{x}
"""
GOOD = r"""
    x^2' § x_1' § x'_1' § x^\prime' § ' §
    x § 42 § 3.14 § a+b § a-b § -x § a<b § a>b § a=b § (x) § [x] § [ § ] § \{x\} § x! § f' § f'' § f'_i § x,y;z § x~y §
    x \$ § \$ 5 § 50\,\% § \#1 § a\_b § a\&b § x\ y § x\:y § x_1 § x^2 § x_1^2 § x^2_1 § x_{1,2} § x^{2^{3}} § {}^2x §
    _2 § ^2 § x^\mathrm{T} § x^\top § \frac12 § \frac{1}{2} § \dfrac{a}{b} § \tfrac ab § \cfrac{1}{1+\cfrac{1}{2}} §
    \binom nk § \sqrt x § \sqrt{x+1} § \sqrt[3]{x} § \sqrt[n]x § \alpha + \beta § \Gamma § \hbar § \infty §
    \sum_{i=1}^{n} x_i § \prod_i x_i § \int_0^1 x\,dx § \int\limits_{0}^{1} x\, dx § \sum\nolimits_i x § \lim_{x \to 0}
    f § \max_x f § \sin x § \sin^2 x § \log{\left(x \right)} § \operatorname{atan}{\left(x \right)} § \exp(-x) §
    \hat{x} § \hat x § \bar{x}_i § \vec v § \dot{x} + \ddot{x} § \widehat{xy} § \overline{x} § \underbrace{a+b}_{n} §
    \overbrace{a}^{n} § \overset{!}{=} § \underset{x}{y} § \mathbb{R}^n § \mathbf{x} § \mathcal{L} § \mathrm{d}x §
    \boldsymbol{\theta} § \mathtt{ab} § \text{for all } x § \text{é, ä} x § \mbox{if } x § \left( \frac{a}{b} \right) §
    \left. x \right|_{0} § \left\{ x \right. § \left\| x \right\| § \left[ x \right]^{2} § \bigl( x \bigr) § \Bigl[ x
    \Bigr] § \lfloor x \rfloor § \left\lceil x \right\rceil § \begin{matrix} 1 & 2 \\ 3 & 4 \end{matrix} §
    \begin{pmatrix} a \\ b \end{pmatrix}^T § \begin{bmatrix} [a] & *b \\ [c] & d \end{bmatrix} § \begin{vmatrix} a
    \end{vmatrix} § \left[\begin{matrix}\frac{1}{2} & x_1\\0 & \sqrt{2}\end{matrix}\right] § \begin{smallmatrix} a & b
    \end{smallmatrix} § \begin{cases} x & \text{for}\: x > 0 \\0 & \text{otherwise} \end{cases} § a &= b \\ c &= d § a
    \\ b § a \\[2pt] [b] § a \\ * b § a & b § a \\ § \displaystyle x § \displaystyle \frac{1}{2} § {\textstyle \sum x}
    § \boxed{x} § \phantom{x}y § \ldots § \cdots § \nabla f § a \le b § a \neq b § a \in A § A \subseteq B § a \mid b §
    \forall x \exists y § p \implies q § x \mapsto y § \partial_x § a \times b § \ell § :label: x § :nowrap: § := x §
    .. raw:: latex § .. math:: § *x*
"""


def _cases(text: str) -> list[str]:
    return [" ".join(case.split()) for case in text.split("§")]


def hostile() -> Iterator[str]:
    """Formulas with what is none of mathematics, which are not shown as formulas."""
    for command in _cases(COMMANDS):
        for place in PLACES:
            yield place.format(command)
    for end in ENDS:
        yield f"x {end} y"
    yield from (f"${command}$" for command in _cases(COMMANDS))


def broken() -> Iterator[object]:
    """Formulas that LaTeX or the converter to MathML cannot read, which are not shown as formulas, either."""
    yield from _cases(BROKEN)
    yield from ("", " ", "$", "$$", "$$$", "$$ $$", r"\[\]", "\\", r"\\", r"\\ \\", "&", "%", "x % y", "x\n% y\nz")
    yield from ("\0", "x\0y", "\x1b[31mx", "\ud800", "x\x7f", "\x08", 5, None, ["x"])
    for part in ("{", r"\left(", r"\sqrt{", "x^{", r"\frac{1}{", r"\begin{matrix}", r"\hat", "x_", r"\text{"):
        yield part * 3_000
        yield part * 50
    yield "{" * 200 + "x" + "}" * 200
    yield r"\hat" * 200 + "x"
    yield "x + " * 5_000 + "x"
    yield r"x \\ " * 60 + "x"
    yield r"\begin{matrix} x" + r" \\ x" * 60 + r"\end{matrix}"


def good() -> Iterator[str]:
    """Formulas as people and programs write them, which are shown as formulas."""
    yield from _cases(GOOD)
    for begin, end in (
        ("$", "$"),
        ("$$", "$$"),
        (r"\(", r"\)"),
        (r"\[", r"\]"),
        ("$$\n", "\n$$\n"),
        (r"$\displaystyle ", "$"),
    ):
        yield f"{begin}x_1 + \\frac{{1}}{{2}}{end}"
    for name in ("equation", "equation*", "align", "align*", "aligned", "gather*", "split"):
        yield f"\\begin{{{name}}} x \\\\ y \\end{{{name}}}"
    yield r"\begin{equation} \begin{aligned} x &= 1 \\ y &= 2 \end{aligned} \end{equation}"
    for begin, end in (
        ("{", "}"),
        (r"\left(", r"\right)"),
        (r"\sqrt{", "}"),
        ("x^{", "}"),
        (r"\begin{matrix}", r"\end{matrix}"),
    ):
        yield begin * 15 + "x" + end * 15


def drawn(count: int, seed: int) -> Iterator[str]:
    """Formulas of pieces of the others, drawn at random."""
    generator = random.Random(seed)
    pieces = [*_cases(COMMANDS), *ENDS, *_cases(BROKEN), *_cases(GOOD), *"{}[]()^_&$ ", r"\\", r"\left", r"\right"]
    for _ in range(count):
        yield "".join(generator.choices(pieces, k=generator.randint(1, 8)))
