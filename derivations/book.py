"""The notes as a book, and as slides.

    python derivations/book.py              # build/book.pdf, build/book.html
    python derivations/book.py --slides 4   # build/slides-04.pdf: figures, tables, problems, equations with their code

Pandoc reads the notes. It writes the page, with formulas as MathML, and the text of the PDF for Typst to set. Both are
Python packages: pip install -e '.[book]'. Between the two stands this filter. It works on Pandoc's tree, where an element is
{"t": its kind, "c": its content}, and it knows the notes by their marks alone: headings, tags, links, <details>.
"""

import argparse
import ast
import copy
import itertools
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # the listings are of this folder's package, whichever is installed

from vae_from_scratch import __version__  # noqa: E402
from vae_from_scratch.course import cut  # noqa: E402

TITLE = "Autoencoder, VAE and beta-VAE from scratch"
SUBTITLE = "Every derivation, and beside it the code, forward and backward"
TAG = r"[A-Z]+\.\d+"
LONGEST = 20  # lines of a function on a slide


# ---- Pandoc's tree ------------------------------------------------------------------------------------

SPACE = {"t": "Space"}


def attr(identifier="", classes=(), **values):
    return [identifier, list(classes), [[key, value] for key, value in values.items()]]


def text(string):
    return {"t": "Str", "c": string}


def code(string):
    return {"t": "Code", "c": [attr(), string]}


def link(inlines, target):
    return {"t": "Link", "c": [attr(), inlines, [f"#{target}", ""]]}


def para(*inlines):
    return {"t": "Para", "c": list(inlines)}


def header(level, identifier, *inlines):
    return {"t": "Header", "c": [level, attr(identifier), list(inlines)]}


def python(string):
    return {"t": "CodeBlock", "c": [attr(classes=["python"]), string]}


def typst(string):
    return {"t": "RawBlock", "c": ["typst", string]}


def div(identifier, kind, blocks, **values):
    return {"t": "Div", "c": [attr(identifier, [kind], **values), blocks]}


def parts(block):
    """The identifier, kind, values and blocks of a div; None four times for any other element."""
    if block["t"] != "Div":
        return None, None, None, None
    (identifier, (kind, *_), values), blocks = block["c"]
    return identifier, kind, dict(values), blocks


def words(node):
    """The text of any part of the tree."""
    if isinstance(node, list):
        return "".join(map(words, node))
    if not isinstance(node, dict):
        return ""
    if node["t"] in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if node["t"] == "Str":
        return node["c"]
    return node["c"][1] if node["t"] in ("Code", "CodeBlock", "Math") else words(node.get("c"))


def elements(node, kind):
    """Every element of one kind, in order."""
    if isinstance(node, dict) and node.get("t") == kind:
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from elements(each, kind)


def lists_mapped(node, change):
    """The tree with change(list) in place of every list of elements, from the leaves up."""
    if isinstance(node, dict):
        return {key: lists_mapped(value, change) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    node = [lists_mapped(each, change) for each in node]
    return change(node) if node and all(isinstance(each, dict) and "t" in each for each in node) else node


def mapped(node, change):
    """The tree with the elements of the list change(element) in place of every element, from the leaves up."""
    return lists_mapped(node, lambda found: [new for each in found for new in change(each)])


# ---- one note -----------------------------------------------------------------------------------------


def note_id(number):
    return f"note-{number:02d}"


def tag_line(block):
    """['KL.4', 'ops.gaussian_kl_backward', ...] of the line **(KL.4)** -> `ops.gaussian_kl_backward`, or None."""
    if block["t"] == "Para" and block["c"][0]["t"] == "Strong":
        found = re.match(rf"\(({TAG})\) -> ", words(block))
        return found and [found[1], *(each["c"][1] for each in elements(block, "Code"))]
    return None


def equations(blocks):
    """Displayed formulas as divs that carry tag and functions; the tag lines, whose content these now hold, go."""
    out = []
    for block in blocks:
        formula = block["c"][0] if block["t"] == "Para" else block
        if formula["t"] != "Math" or formula["c"][0]["t"] != "DisplayMath" or len(block["c"]) > 1:
            out.append(block)
            continue
        tag = re.search(rf"\s*\\tag\{{({TAG})\}}", formula["c"][1])
        if not tag:
            out.append(div("", "equation", [block]))
            continue
        line = tag_line(out[-1]) if out else None
        functions = line[1:] if line and line[0] == tag[1] else []
        if functions:
            out.pop()
        formula["c"][1] = formula["c"][1].replace(tag[0], "")
        out.append(div(f"eq-{tag[1]}", "equation", [block], tag=tag[1], functions=" ".join(functions)))
    return out


def figures(blocks):
    """A picture that is a paragraph becomes a figure; a paragraph in italics below it becomes its caption."""
    out = []
    for block in blocks:
        kinds = [each["t"] for each in block["c"]] if block["t"] == "Para" else []
        italic = kinds[:1] == ["Emph"] and {*kinds} <= {"Emph", "Code", "Space", "SoftBreak"}
        if kinds == ["Image"]:
            out.append({"t": "Figure", "c": [attr(), [None, []], [{"t": "Plain", "c": block["c"]}]]})
        elif italic and out and out[-1]["t"] == "Figure" and not out[-1]["c"][1][1]:
            out[-1]["c"][1][1] = mapped([block], lambda each: each["c"] if each["t"] == "Emph" else [each])
        else:
            out.append(block)
    return out


def folds(blocks, note, found):
    """Each <details> goes to `found` as [its identifier, the title of its section, its summary, its blocks]; a mark stays."""
    open_lists, section = [[]], ""
    for block in blocks:
        html = block["c"][1] if block["t"] == "RawBlock" else ""
        if block["t"] == "Header":
            section = words(block)
        if html.startswith("<details"):
            summary = re.search(r"<summary>(.*?)</summary>", html, re.S)
            found.append([f"{note}-fold-{len(found) + 1}", section, summary[1].strip() if summary else "More", []])
            fold, _, summary, inside = found[-1]
            open_lists[-1].append(div(f"{fold}-from", "fold", [para(text(summary))], to=fold))
            open_lists.append(inside)
        elif html.startswith("</details"):
            open_lists.pop()
        else:
            open_lists[-1].append(block)
    return open_lists[0]


def references(note, tags, listed):
    """What an element becomes: links stay within the book, tags in the text become links, headings get their note's name."""

    def target(address):
        other = re.fullmatch(r"(?:(\d+)-[\w-]+\.md)?(?:#(.+))?", address)
        if other:
            home = note_id(int(other[1])) if other[1] else note
            return f"{home}--{other[2]}" if other[2] else home
        file = re.fullmatch(r"\.\./vae_from_scratch/([\w/]+)\.py", address)
        return f"code-{file[1].replace('/', '.')}" if file and file[1].replace("/", ".") in listed else None

    def change(element):
        kind, content = element["t"], element.get("c")
        if kind == "Header":
            level, (name, *_), title = content
            return [header(level, note if level == 1 else f"{note}--{name}", *title)]
        if kind == "Link" and "://" not in content[2][0]:
            inside = mapped(content[1], lambda each: each["c"][1] if each["t"] == "Link" else [each])
            where = target(content[2][0])
            return [link(inside, where)] if where else inside
        if kind == "Image":
            return [{"t": "Image", "c": [attr(), content[1], [f"derivations/{content[2][0]}", ""]]}]
        if kind == "Math":
            return [{"t": "Math", "c": [content[0], content[1].replace("\\cfrac", "\\dfrac")]}]  # Pandoc knows no \cfrac
        if kind == "CodeBlock" and content[0][1] == ["pycon"]:
            return [python(content[1])]
        if kind == "Str":
            pieces = [each for each in re.split(rf"(?<![\w.])({TAG})(?![\w.]*\w)", content) if each]
            return [link([text(each)], f"eq-{each}") if each in tags else text(each) for each in pieces]
        return [element]

    return change


# ---- the code of a tag --------------------------------------------------------------------------------


def stem(name):
    """What a function's name shares with its counterpart's.

    >>> stem("dense_forward"), stem("dense_backward_params"), stem("VAE.backward"), stem("glorot_uniform")
    ('dense_', 'dense_', 'VAE.', 'glorot_uniform')
    """
    return re.sub(r"(forward|backward)(_params)?$", "", name)


def module_of(function):
    return cut.home(function)[0].__name__.removeprefix(f"{cut.PACKAGE}.")


def pair(function):
    """The function and its counterpart, in the order of their file."""
    names = cut.defined(ast.parse(Path(cut.home(function)[0].__file__).read_text("utf-8")))
    return [f"{module_of(function)}.{name}" for name in names if stem(name) == stem(cut.in_file(function))]


def listings(tags):
    """{module: [pair, ...]} for the functions that the tags name, in the order of the notes."""
    out = {}
    for function in (each for _, functions in tags.values() for each in functions):
        pairs = out.setdefault(module_of(function), [])
        if pair(function) not in pairs:
            pairs.append(pair(function))
    return out


def named(functions):
    """Links to listings, a space before each."""
    return [each for name in functions for each in (SPACE, link([code(name)], f"code-{name}"))]


# ---- the book -----------------------------------------------------------------------------------------


class Book:
    """chapters {number: blocks}, folds {number: [[id, section, summary, blocks], ...]}, tags {tag: (number, functions)}."""

    def __init__(self, paths):
        self.chapters, self.folds, self.tags = {}, {}, {}
        for path in paths:
            number = int(path.name[:2])
            found = self.folds[number] = []
            blocks = folds(json.loads(pandoc(path.read_text("utf-8"), "gfm", "json"))["blocks"], note_id(number), found)
            blocks, found[:] = lists_mapped([blocks, found], lambda each: figures(equations(each)))
            self.chapters[number] = blocks
            for _, _, values, _ in map(parts, elements([blocks, found], "Div")):
                if "tag" in values:
                    self.tags[values["tag"]] = number, values["functions"].split()
        self.listings = listings(self.tags)
        for number in self.chapters:
            change = references(note_id(number), self.tags, self.listings)
            self.chapters[number] = mapped(self.chapters[number], change)
            self.folds[number] = mapped(self.folds[number], change)

    def answers(self):
        out = [header(1, "answers", text("Answers"))]
        for number, found in self.folds.items():
            out += [header(2, f"answers-{number}", *self.chapters[number][0]["c"][2])] if found else []
            for fold, section, summary, blocks in found:
                name = section if summary.startswith("Answer") else f"{section}: {summary}"
                out += [header(3, fold, link([text(name)], f"{fold}-from")), *blocks]
        return out

    def code(self):
        out = [header(1, "code", text("The code"))]
        for module, pairs in self.listings.items():
            out.append(header(2, f"code-{module}", code(f"{module.replace('.', '/')}.py")))
            for functions in pairs:
                tags = [tag for tag, (_, names) in self.tags.items() if {*names} & {*functions}]
                name = stem(functions[0].removeprefix(f"{module}.")).rstrip("._")
                out.append(header(3, "", code(name), *(each for tag in tags for each in (SPACE, link([text(tag)], f"eq-{tag}")))))
                out += [div(f"code-{function}", "listing", [python(cut.source(function))]) for function in functions]
        return out

    def symbols(self):
        """Note 0's table of symbols; in place of the shapes stand the notes whose formulas have the symbol."""
        (first, *_), formulas = self.chapters, {}
        for number in self.chapters:
            found = elements([self.chapters[number], self.folds[number]], "Math")
            formulas[number] = "".join(tokens(each["c"][1]) for each in found)
        tables = [each["c"] for each in elements(self.chapters[first], "Table") if words(each["c"][3]).startswith("symbol")]
        if not tables:
            raise SystemExit(f"note {first} has no table whose first column is 'symbol': the index of symbols is made of it")
        table = copy.deepcopy(tables[0])
        (_, heads), (*_, rows) = table[3], table[4][0]
        for _, cells in heads + rows:
            symbols = [tokens(each) for math in elements(cells[0], "Math") for each in names(words(math))]
            where = [number for number, tex in formulas.items() if any(symbol in tex for symbol in symbols)]
            last = runs(where) if symbols else [text("in notes")]
            cells[1:] = [*cells[2:], [*cells[0][:4], [{"t": "Plain", "c": last}]]]
        return [header(1, "symbols", text("Index of symbols")), {"t": "Table", "c": table}]

    def equations(self):
        out = []
        for tag in sorted(self.tags, key=lambda tag: (tag.partition(".")[0], int(tag.partition(".")[2]))):
            functions = self.tags[tag][1]
            line = para(link([text(tag)], f"eq-{tag}"), *named(functions))
            out.append(div("", "entry", [line], tag=tag, functions=" ".join(functions)))
        return [header(1, "equations", text("Index of equations")), div("", "index", out)]

    def whole(self):
        back = self.answers() + self.code() + self.symbols() + self.equations()
        return [block for blocks in self.chapters.values() for block in blocks] + back


def runs(numbers):
    """The notes 1, 2, 3 and 5 as links that read 1–3, 5."""
    out = []
    for _, run in itertools.groupby(enumerate(numbers), lambda each: each[1] - each[0]):
        first, *_, last = [number for _, number in run] * 2
        ends = [link([text(str(number))], note_id(number)) for number in sorted({first, last})]
        out += [text(", ")] * bool(out) + [ends[0], *(each for end in ends[1:] for each in (text("–"), end))]
    return out


def tokens(tex):
    r"""TeX as tokens with spaces around them, so that a symbol is found whole.

    >>> tokens(r"\mu") in tokens(r"\sigma\mu_{p}"), tokens("x") in tokens(r"\mathrm{max}")
    (True, False)
    """
    found = re.findall(r"\\(?:mathrm|text)\{[^{}]*\}|\\[A-Za-z]+|\\.|[^\s{}]", tex)
    return f" {' '.join(each for each in found if each != chr(92) + ',')} "


def names(tex):
    r"""The symbols of a cell of the table, a function of more than a letter without its arguments.

    >>> names(r"p_\theta(x \mid z)"), names(r"\mu, \sigma^2"), names(r"\ell = \log \sigma^2"), names("p(z)")
    (['p_\\theta'], ['\\mu', '\\sigma^2'], ['\\ell'], ['p(z)'])
    """
    tex = re.sub(r"^([^,]{2,}?)\(.*", r"\1", tex.partition("=")[0])
    return [each.strip() for each in tex.split(",") if each.strip()]


# ---- slides -------------------------------------------------------------------------------------------


def bare(function):
    """The code without its docstring, and only the first lines of a long one."""
    lines, node = cut.source(function).splitlines(), cut.node(function)
    if ast.get_docstring(node) is not None:
        del lines[node.body[0].lineno - node.lineno : node.body[0].end_lineno - node.lineno + 1]
    if len(lines) > LONGEST:
        file = module_of(function).replace(".", "/")
        lines[LONGEST - 1 :] = [f"    ...  # {len(lines) - LONGEST + 1} more lines in {file}.py"]
    return python("\n".join(lines))


def slides(chapter):
    """[[title, blocks, code], ...]: what the note gives; then its figures, tables and lists, and its equations by function."""
    head, opening, *blocks = chapter
    title, step, groups = head["c"][2], [], [(None, head["c"][2], [], [opening])]
    for block in blocks:
        _, kind, values, _ = parts(block)
        if block["t"] == "Header":
            title, step = block["c"][2], []
        elif block["t"] == "Para" and block["c"][0]["t"] == "Strong":  # first words in bold name a step of the derivation
            step = [text(": " + words(block["c"][0]).rstrip(".:"))]
        elif block["t"] in ("Figure", "Table", "OrderedList"):
            groups.append((None, title, [], [block]))
        elif kind == "equation":
            functions = values.get("functions", "").split()
            key = words(title), functions or words(step)
            if key != groups[-1][0] or not functions and len(groups[-1][3]) == 2:
                groups.append((key, title + step, functions, []))
            groups[-1][3].append(block)
    return [[title, shown, code] for _, title, functions, shown in groups for code in [[bare(each)] for each in functions] or [[]]]


# ---- what Pandoc and Typst make of it -----------------------------------------------------------------

# Pandoc's Typst for \odot, for \; and for a bar that is no relation is not what Typst wants
BAR = "\uffe8"
REPAIRS = {"dot.circle": "dot.o", "#h(0em)": "thick", BAR: 'class("normal", |)'}
# in MathML the name of a function stands too close to an argument without parentheses
CLOSE = r"(<mi[^>]*>(?:log|exp|sin|cos|tanh|det))(?=</mi>(?!(?:<mo>\u2061</mo>|</mrow>)*<mo[^>]*>\())"


def need(module):
    try:
        return __import__(module)
    except ImportError:
        raise SystemExit(f"this needs the package {module}: pip install -e '.[book]', in the repository's folder") from None


def pandoc(source, read, write, *options):
    """A document in another format; a formula that Pandoc cannot convert is an error."""
    try:
        return need("pypandoc").convert_text(source, write, read, extra_args=["--fail-if-warnings", *options])
    except (RuntimeError, OSError) as error:  # OSError: there is no Pandoc
        raise SystemExit(f"Pandoc, which pip install -e '.[book]' brings, says: {error}") from None


def written(blocks, write, *options):
    empty = json.loads(pandoc("", "gfm", "json"))
    return pandoc(json.dumps({**empty, "blocks": blocks}), "json", write, *options)


def for_html(element):
    """An equation shows its tag and its functions below; a mark of folded text links to it."""
    identifier, kind, values, blocks = parts(element)
    if kind == "equation" and values:
        line = para(link([text(f"({values['tag']})")], identifier), *named(values["functions"].split()))
        return [div(identifier, kind, [*blocks, div("", "tag", [line])])]
    if kind == "fold":
        return [div(identifier, kind, [para(link(blocks[0]["c"], values["to"]))])]
    return [element]


def for_typst(element):
    """Divs become calls of the functions in book.typ, which know pages and widths."""
    identifier, kind, values, blocks = parts(element)
    if kind:
        arguments = ", ".join(json.dumps(each) for each in (identifier, *values.values()))
        return [typst(f"#{kind}({arguments})["), *blocks, typst("]")]
    if element["t"] == "Image":
        path, seen = (json.dumps(each, ensure_ascii=False) for each in (f"/{element['c'][2][0]}", words(element["c"][1])))
        return [{"t": "RawInline", "c": ["typst", f"#image({path}, alt: {seen})"]}]  # from the root that Typst is given
    if element["t"] == "Math":
        tex = re.sub(r"\\[lr]vert\b|(?<!\\)(?<!\\left)(?<!\\right)\|", BAR, element["c"][1])
        return [{"t": "Math", "c": [element["c"][0], tex]}]
    return [element]


def for_slides(element):
    """What a reference leads to is not on the slides."""
    if element["t"] == "Link" and element["c"][2][0].startswith("#"):
        return element["c"][1]
    identifier, kind, values, blocks = parts(element)
    return [div(identifier, kind, blocks, **{**values, "functions": ""})] if kind == "equation" and values else [element]


def typeset(blocks, show, out):
    """A PDF of the blocks; `show` is the call of book.typ that gives them their form."""
    source = written(mapped(blocks, for_typst), "typst")
    for old, new in REPAIRS.items():
        source = source.replace(old, new)
    source = f"{(HERE / 'book.typ').read_text('utf-8')}\n#show: {show}\n{source}"
    try:
        need("typst").compile(source.encode(), output=str(out), root=str(ROOT))
    except RuntimeError as error:
        out.with_suffix(".typ").write_text(source, "utf-8")
        raise SystemExit(f"Typst refuses {out.with_suffix('.typ')}: {error}") from None
    print(out)


def make_book(book, folder):
    blocks = book.whole()
    title = ", ".join(map(json.dumps, (TITLE, SUBTITLE, __version__)))
    typeset(blocks, f"book.with({title})", folder / "book.pdf")
    options = ["-s", "--mathml", "--embed-resources", "--toc", "--toc-depth=2", "-V", "document-css=false", "-M", "lang=en"]
    options += [f"--css={HERE / 'book.css'}", f"--resource-path={ROOT}", "-M", f"title={TITLE}", "-M", f"subtitle={SUBTITLE}"]
    page = written(mapped(blocks, for_html), "html", *options)
    (folder / "book.html").write_text(re.sub(CLOSE, "\\1\u2009", page), "utf-8")
    print(folder / "book.html")


def make_slides(chapter, out):
    part = typst("][")
    found = mapped(slides(chapter), for_slides)
    blocks = [div("", "slide", [para(*title), part, *shown, part, *code]) for title, shown, code in found]
    typeset(blocks, f"slides.with({json.dumps(words(chapter[0]))})", out)


NOTES = {int(path.name[:2]): path for path in sorted(HERE.glob("[0-9][0-9]-*.md"))}


def note_number(string):
    if not string.isdecimal() or int(string) not in NOTES:
        raise argparse.ArgumentTypeError(f"there is no note {string}; write the number of a note, {min(NOTES)} to {max(NOTES)}")
    return int(string)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="The notes as a book (PDF and HTML), or as slides (PDF).")
    parser.add_argument("--slides", type=note_number, nargs="+", metavar="NOTE", help="the slides of these notes, not the book")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="the folder for the files (default: build)")
    args = parser.parse_args(arguments)
    try:
        args.out = args.out.expanduser()
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out needs a folder, or a place where one can be made; {args.out}: {error.strerror}")
    for each in args.slides or []:
        make_slides(Book([NOTES[each]]).chapters[each], args.out / f"slides-{each:02d}.pdf")
    if not args.slides:
        make_book(Book(NOTES.values()), args.out)


if __name__ == "__main__":
    main()
