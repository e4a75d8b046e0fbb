"""The notes as a book, and as slides.

    python derivations/book.py              # build/book.pdf, build/book.html
    python derivations/book.py --slides 4   # build/slides-04.pdf: its figures, tables and problems, its equations with their code

Pandoc reads the notes and writes HTML (formulas as MathML) and Typst, which sets the PDF; both are Python packages:
pip install 'vae_from_scratch[book]'.  Between the two stands this filter.  It works on Pandoc's own tree, in which a block
or an inline is {"t": its kind, "c": its content}, and knows the notes by their marks alone: tags, links, <details>.
"""

import argparse
import ast
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # the listings are of this folder's package, whichever is installed

from vae_from_scratch import __version__  # noqa: E402
from vae_from_scratch.course import cut  # noqa: E402

TAG = r"[A-Z]+\.\d+"
TITLE = "Autoencoder, VAE and beta-VAE from scratch"
LONGEST = 20  # lines of a function on a slide
SUBTITLE = "Every derivation, and beside it the code, forward and backward"


# ---- Pandoc's tree ------------------------------------------------------------------------------------


def attr(identifier="", classes=(), **values):
    return [identifier, list(classes), [[key, value] for key, value in values.items()]]


def text(string):
    return {"t": "Str", "c": string}


def code(string):
    return {"t": "Code", "c": [attr(), string]}


SPACE = {"t": "Space"}


def link(inlines, target):
    return {"t": "Link", "c": [attr(), inlines, [f"#{target}", ""]]}


def para(*inlines):
    return {"t": "Para", "c": list(inlines)}


def header(level, identifier, inlines):
    return {"t": "Header", "c": [level, attr(identifier), inlines]}


def div(identifier, classes, blocks, **values):
    return {"t": "Div", "c": [attr(identifier, classes, **values), blocks]}


def values(block):
    """{"tag": ..., "functions": ...} of a div of this filter."""
    return dict(block["c"][0][2])


def raw(kind, string):
    return {"t": kind, "c": ["typst", string]}


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


def mapped(node, change):
    """The tree with every element replaced, from the leaves up, by the list of elements that change(element) gives."""
    if isinstance(node, dict):
        return {key: mapped(value, change) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    out = []
    for each in node:
        each = mapped(each, change)
        out.extend(change(each) if isinstance(each, dict) and "t" in each else [each])
    return out


def elements(node, kind):
    """Every element of one kind, in order."""
    if isinstance(node, dict) and node.get("t") == kind:
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from elements(each, kind)


# ---- one note -----------------------------------------------------------------------------------------


def note_id(number):
    return f"note-{number:02d}"


def display(block):
    """The TeX of a paragraph that is one displayed formula, or None."""
    if block["t"] == "Para" and len(block["c"]) == 1 and block["c"][0]["t"] == "Math":
        kind, tex = block["c"][0]["c"]
        return tex if kind["t"] == "DisplayMath" else None
    return None


def tag_line(block):
    """['KL.4', 'ops.gaussian_kl_backward', ...] of the line **(KL.4)** -> `ops.gaussian_kl_backward`, or None."""
    if block["t"] == "Para" and block["c"] and block["c"][0]["t"] == "Strong":
        found = re.match(rf"\(({TAG})\) (?:->|→) ", words(block))
        return found and [found[1], *(each["c"][1] for each in elements(block, "Code"))]
    return None


def equations(blocks):
    """Displayed formulas as divs that carry tag and code; the tag lines, whose content they now hold, go."""
    out = []
    for block in blocks:
        tex = display(block)
        if tex is None:
            out.append(block)
            continue
        tag = re.search(rf"\s*\\tag\{{({TAG})\}}", tex)
        tex = tex.replace(tag[0], "") if tag else tex
        formula = para({"t": "Math", "c": [{"t": "DisplayMath"}, tex]})
        if not tag:
            out.append(div("", ["equation"], [formula]))
            continue
        line = tag_line(out[-1]) if out else None
        functions = line[1:] if line and line[0] == tag[1] else []
        out[len(out) - bool(functions):] = []
        out.append(div(f"eq-{tag[1]}", ["equation"], [formula], tag=tag[1], functions=" ".join(functions)))
    return out


def figures(blocks):
    """A picture that is a paragraph becomes a figure; a paragraph in italics below it becomes its caption."""
    out = []
    for block in blocks:
        if block["t"] == "Para" and [each["t"] for each in block["c"]] == ["Image"]:
            out.append({"t": "Figure", "c": [attr(), [None, []], [{"t": "Plain", "c": block["c"]}]]})
        elif block["t"] == "Para" and out and out[-1]["t"] == "Figure" and not out[-1]["c"][1][1] and italic(block):
            out[-1]["c"][1][1] = [para(*(each for part in block["c"] for each in (part["c"] if part["t"] == "Emph" else [part])))]
        else:
            out.append(block)
    return out


def italic(block):
    kinds = {each["t"] for each in block["c"]}
    return block["c"][0]["t"] == "Emph" and kinds <= {"Emph", "Code", "Space", "SoftBreak"}


def folds(blocks, note, found):
    """Each <details> goes to `found` as (its identifier, the title of its section, its summary, its blocks); a mark stays."""
    out, inside, section = [], None, "the note"
    for block in blocks:
        html = block["c"][1] if block["t"] == "RawBlock" else ""
        if block["t"] == "Header":
            section = words(block)
        if html.startswith("<details"):
            summary = re.search(r"<summary>(.*?)</summary>", html, re.S)
            inside = []
            fold = f"{note}-fold-{len(found) + 1}"
            found.append([fold, section, summary[1].strip() if summary else "More", inside])
            out.append(div(f"{fold}-from", ["fold"], [para(text(found[-1][2]))], to=fold))
        elif html.startswith("</details"):
            inside = None
        else:
            (out if inside is None else inside).append(block)
    return out


def inlines(note, tags, listed):
    """The change of one element: links stay within the book, tags in the text become links, ids get their note's name."""

    def target(address):
        other = re.fullmatch(r"(?:(\d+)-[\w-]+\.md)?(?:#(.+))?", address)
        if other and address:
            home = note_id(int(other[1])) if other[1] else note
            return f"{home}--{other[2]}" if other[2] else home
        file = re.fullmatch(r"\.\./vae_from_scratch/([\w/]+)\.py", address)
        name = file and f"code-{file[1].replace('/', '.')}"
        return name if name in listed else None

    def change(element):
        kind, content = element["t"], element.get("c")
        if kind == "Header":
            level, (name, *_), title = content
            return [header(level, note if level == 1 else f"{note}--{name}", title)]
        if kind == "Link" and "://" not in content[2][0]:
            inside = mapped(content[1], lambda each: each["c"][1] if each["t"] == "Link" else [each])
            where = target(content[2][0])
            return [link(inside, where)] if where else inside
        if kind == "Image":
            return [{"t": "Image", "c": [attr(), content[1], [f"derivations/{content[2][0]}", ""]]}]
        if kind == "Math":
            return [{"t": "Math", "c": [content[0], content[1].replace("\\cfrac", "\\dfrac")]}]  # Pandoc knows no \cfrac
        if kind == "CodeBlock" and content[0][1] == ["pycon"]:
            return [{"t": "CodeBlock", "c": [attr(classes=["python"]), content[1]]}]
        if kind == "Str" and re.search(TAG, content):
            parts = re.split(rf"(?<![\w.])({TAG})(?![\w.]*\w)", content)
            return [link([text(p)], f"eq-{p}") if i % 2 and p in tags else text(p) for i, p in enumerate(parts) if p]
        return [element]

    return change


# ---- the listings -------------------------------------------------------------------------------------


def stem(name):
    """What a function has in common with its counterpart: 'VAE.forward' and 'VAE.backward' -> 'VAE.'."""
    return re.sub(r"(forward|backward)(_params)?$", "", name)


def module_of(function):
    return cut.home(function)[0].__name__.removeprefix(f"{cut.PACKAGE}.")


def pair(function):
    """The function with its counterpart, forward before backward, as the file has them."""
    path = Path(cut.home(function)[0].__file__)
    module, same = module_of(function), stem(cut.in_file(function))
    return [f"{module}.{name}" for name in cut.defined(ast.parse(path.read_text("utf-8"))) if stem(name) == same]


def listings(tags):
    """{module: [[functions of a pair], ...]} for the functions that the tags name, in the order of the notes."""
    out = {}
    for _, functions in tags.values():
        for function in functions:
            pairs = out.setdefault(module_of(function), [])
            if pair(function) not in pairs:
                pairs.append(pair(function))
    return out


def listing(function):
    return div(f"code-{function}", ["listing"], [{"t": "CodeBlock", "c": [attr(classes=["python"]), cut.source(function)]}])


# ---- the book -----------------------------------------------------------------------------------------


class Book:
    """chapters {number: blocks}, folds {number: [[id, section, summary, blocks], ...]}, tags {tag: (number, functions)}, listings."""

    def __init__(self, paths):
        self.chapters, self.folds, self.tags = {}, {}, {}
        for path in paths:
            number = int(path.name[:2])
            found = self.folds[number] = []
            blocks = json.loads(pandoc(path.read_text("utf-8"), "gfm", "json"))["blocks"]
            self.chapters[number] = figures(equations(folds(blocks, note_id(number), found)))
            for fold in found:
                fold[3] = figures(equations(fold[3]))
            for each in elements([self.chapters[number], found], "Div"):
                if "tag" in values(each):
                    self.tags[values(each)["tag"]] = number, values(each)["functions"].split()
        self.listings = listings(self.tags)
        for number in self.chapters:
            change = inlines(note_id(number), self.tags, {f"code-{module}" for module in self.listings})
            self.chapters[number] = mapped(self.chapters[number], change)
            self.folds[number] = mapped(self.folds[number], change)

    def title(self, number):
        return self.chapters[number][0]["c"][2]

    def answers(self):
        out = [header(1, "answers", [text("Answers")])]
        for number, found in self.folds.items():
            out += [header(2, f"answers-{number}", self.title(number))] if found else []
            for fold, section, summary, blocks in found:
                name = section if summary.startswith("Answer") else f"{section}: {summary}"
                out += [header(3, fold, [link([text(name)], f"{fold}-from")]), *blocks]
        return out

    def code(self):
        out = [header(1, "code", [text("The code")])]
        for module, pairs in self.listings.items():
            out.append(header(2, f"code-{module}", [code(f"{module.replace('.', '/')}.py")]))
            for functions in pairs:
                tags = [tag for tag, (_, named) in self.tags.items() if set(named) & set(functions)]
                name = stem(functions[0].removeprefix(f"{module}.")).rstrip("._")
                out.append(header(3, "", [code(name), *(each for tag in tags for each in (SPACE, link([text(tag)], f"eq-{tag}")))]))
                out += map(listing, functions)
        return out

    def symbols(self):
        """Note 0's table of symbols, with the notes whose formulas have each in place of the shapes."""
        formulas = {
            number: [tokens(each["c"][1]) for each in elements([blocks, self.folds[number]], "Math")]
            for number, blocks in self.chapters.items()
        }
        for table in elements(self.chapters[min(self.chapters)], "Table"):
            attributes, caption, columns, head, bodies, foot = table["c"]
            if words(head[1][0][1][0]) == "symbol":
                break
        else:
            raise SystemExit(f"{min(self.chapters):02d}-*.md has no table whose first column is 'symbol', for the index of symbols")

        def row(cells, last):
            *start, blocks = cells[0]
            return [attr(), [cells[0], *cells[2:], [*start, [{"t": "Plain", "c": last}]]]]

        rows = []
        for _, cells in bodies[0][3]:
            wanted = [tokens(part) for each in elements(cells[0], "Math") for part in names(each["c"][1])]
            where = [number for number, each in formulas.items() if any(want in tex for want in wanted for tex in each)]
            rows.append(row(cells, runs(where)))
        head = [head[0], [row(head[1][0][1], [text("in notes")])]]
        return [
            header(1, "symbols", [text("Index of symbols")]),
            {"t": "Table", "c": [attributes, caption, columns, head, [[*bodies[0][:3], rows]], foot]},
        ]

    def index(self):
        """Every tag, with its functions."""
        out = []
        for tag in sorted(self.tags, key=lambda tag: (tag.partition(".")[0], int(tag.partition(".")[2]))):
            functions = self.tags[tag][1]
            named = [each for name in functions for each in (SPACE, link([code(name)], f"code-{name}"))]
            out.append(div("", ["entry"], [para(link([text(tag)], f"eq-{tag}"), *named)], tag=tag, functions=" ".join(functions)))
        return [header(1, "equations", [text("Index of equations")]), div("", ["index"], out)]

    def whole(self):
        chapters = [block for blocks in self.chapters.values() for block in blocks]
        return chapters + self.answers() + self.code() + self.symbols() + self.index()


def runs(numbers):
    """[1, 2, 3, 5] as links that read 1-3, 5."""
    groups = []
    for number in numbers:
        if groups and groups[-1][-1] == number - 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    out = []
    for group in groups:
        ends = [link([text(str(number))], note_id(number)) for number in sorted({group[0], group[-1]})]
        out += [text(", ")] * bool(out) + [ends[0]] + [part for end in ends[1:] for part in (text("–"), end)]
    return out


def tokens(tex):
    """TeX as tokens between spaces, so that a symbol is found whole."""
    found = re.findall(r"\\(?:mathrm|text)\{[^{}]*\}|\\[A-Za-z]+|\\.|\S", tex)
    return f" {' '.join(each for each in found if each not in (chr(92) + ',', '{', '}'))} "


def names(tex):
    """The symbols of a cell of the table: 'p_\\theta(x \\mid z)' -> ['p_\\theta'], 'A, B = C' -> ['A', 'B']."""
    tex = re.sub(r"^(.{2,}?)\(.*", r"\1", tex.partition("=")[0].strip())
    return [part.strip() for part in tex.split(",") if part.strip()]


# ---- slides -------------------------------------------------------------------------------------------


def bare(function):
    """The code without its docstring, and the first lines of a long one."""
    lines, node = cut.source(function).splitlines(), cut.node(function)
    if ast.get_docstring(node) is not None:
        del lines[node.body[0].lineno - node.lineno : node.body[0].end_lineno - node.lineno + 1]
    if len(lines) > LONGEST:
        lines[LONGEST - 2 :] = [f"    ...  # {len(lines) - LONGEST + 2} more lines in {module_of(function).replace('.', '/')}.py"]
    return {"t": "CodeBlock", "c": [attr(classes=["python"]), "\n".join(lines)]}


def slides(chapter):
    """[[title, blocks, code], ...]: what the note gives, then its figures, tables, lists, and its equations with their code."""
    head, opening, *blocks = chapter
    title, step, groups = head["c"][2], [], [(None, head["c"][2], [opening])]
    for block in blocks:
        kind = block["c"][0][1][0] if block["t"] == "Div" else block["t"]
        if kind == "Header":
            title, step = block["c"][2], []
        elif kind == "Para" and block["c"][0]["t"] == "Strong":  # first words in bold name a step of the derivation
            step = [text(": " + words(block["c"][0]).rstrip(".:"))]
        elif kind in ("Figure", "Table", "OrderedList"):
            groups.append((None, title, [block]))
        elif kind == "equation":
            functions = values(block).get("functions", "").split()
            key = words(title), functions or words(step)
            if key == groups[-1][0] and (functions or len(groups[-1][2]) < 2):
                groups[-1][2].append(block)
            else:
                groups.append((key, title + step, [block]))
    out = []
    for key, title, shown in groups:
        functions = key[1] if key and isinstance(key[1], list) else []
        out += [[title, shown, [bare(each)]] for each in functions] or [[title, shown, []]]
    return out


# ---- what Pandoc and Typst make of it -----------------------------------------------------------------


def need(module):
    try:
        return __import__(module)
    except ImportError:
        raise SystemExit(f"the book needs {module}: pip install '.[book]' in the repository's folder") from None


def pandoc(source, read, write, *options):
    """A document in another format; a formula that Pandoc cannot convert is an error."""
    return need("pypandoc").convert_text(source, write, read, extra_args=["--fail-if-warnings", *options])


def written(blocks, write, *options):
    document = {"pandoc-api-version": [1, 23, 1], "meta": {}, "blocks": blocks}
    return pandoc(json.dumps(document), "json", write, *options)


def for_html(element):
    """An equation shows its tag and its functions below; a mark of folded text is a link to it."""
    if element["t"] == "Div":
        known, (first, *_) = values(element), element["c"][0][1]
        if first == "equation" and known:
            named = [each for name in known["functions"].split() for each in (SPACE, link([code(name)], f"code-{name}"))]
            tag = link([text(f"({known['tag']})")], element["c"][0][0])
            return [{"t": "Div", "c": [element["c"][0][:2] + [[]], [*element["c"][1], div("", ["tag"], [para(tag, *named)])]]}]
        if first == "fold":
            return [div(element["c"][0][0], ["fold"], [para(link(element["c"][1][0]["c"], known["to"]))])]
    return [element]


def for_typst(element):
    """Divs become calls of the functions in book.typ, which know pages and widths."""
    if element["t"] == "Image":
        return [{"t": "Image", "c": [*element["c"][:2], [f"/{element['c'][2][0]}", ""]]}]  # from the root that Typst is given
    if element["t"] == "Math":
        return [{"t": "Math", "c": [element["c"][0], re.sub(r"(?<!\\)(?<!\\left)(?<!\\right)\|", BAR, element["c"][1])]}]
    if element["t"] == "Div":
        (name, (kind, *_), _), blocks = element["c"]
        arguments = ", ".join(json.dumps(value) for value in (name, *values(element).values()))
        return [raw("RawBlock", f"#{kind}({arguments})["), *blocks, raw("RawBlock", "]")]
    return [element]


def for_slides(element):
    """No references: what they lead to is not on the slides."""
    if element["t"] == "Link" and element["c"][2][0].startswith("#"):
        return element["c"][1]
    if element["t"] == "Div" and "functions" in values(element):
        return [div(element["c"][0][0], ["equation"], element["c"][1], tag=values(element)["tag"], functions="")]
    return [element]


# what Pandoc writes for \\odot, \\; and a bar that is no relation, and what Typst wants
BAR = "\uffe8"
REPAIRS = {"dot.circle": "dot.o", "#h(0em)": "thick", BAR: 'class("normal", |)'}


def typst_of(blocks):
    source = written(mapped(blocks, for_typst), "typst")
    for old, new in REPAIRS.items():
        source = source.replace(old, new)
    return source


def typeset(source, out):
    """The PDF of Typst's text; what book.typ defines stands before it."""
    typst = need("typst")
    whole = (HERE / "book.typ").read_text("utf-8") + source
    try:
        typst.compile(whole.encode(), output=str(out), root=str(ROOT))
    except typst.TypstError as error:
        out.with_suffix(".typ").write_text(whole, "utf-8")
        raise SystemExit(f"Typst refuses {out.with_suffix('.typ')}: {error}") from None
    print(out)


# in MathML, the name of a function without parentheses stands close to its argument
FUNCTION = r"(<mi[^>]*>(?:log|exp|sin|cos|tanh|det))</mi>(?!(?:<mo>\u2061</mo>|</mrow>)*<mo[^>]*>\()"


def make_book(book, folder):
    blocks = book.whole()
    title = ", ".join(map(json.dumps, (TITLE, SUBTITLE, __version__)))
    typeset(f"#show: book.with({title})\n{typst_of(blocks)}", folder / "book.pdf")
    options = ["-s", "--mathml", "--embed-resources", "--toc", "--toc-depth=2", "-V", "document-css=false", "-M", "lang=en"]
    options += [f"--css={HERE / 'book.css'}", f"--resource-path={ROOT}", "-M", f"title={TITLE}", "-M", f"subtitle={SUBTITLE}"]
    page = written(mapped(blocks, for_html), "html", *options)
    (folder / "book.html").write_text(re.sub(FUNCTION, "\\1\u2009</mi>", page), "utf-8")
    print(folder / "book.html")


def make_slides(chapter, out):
    next_part = raw("RawBlock", "][")
    parts = mapped(slides(chapter), for_slides)
    blocks = [div("", ["slide"], [para(*title), next_part, *shown, next_part, *code]) for title, shown, code in parts]
    typeset(f"#show: slides.with({json.dumps(words(chapter[0]))})\n{typst_of(blocks)}", out)


def notes():
    return {int(path.name[:2]): path for path in sorted(HERE.glob("[0-9][0-9]-*.md"))}


def number(string):
    if not string.isdecimal() or int(string) not in notes():
        raise argparse.ArgumentTypeError(f"there is no note {string}; write the number of a note, {min(notes())} to {max(notes())}")
    return int(string)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="The notes as a book (PDF and HTML), or as slides (PDF).")
    parser.add_argument("--slides", type=number, nargs="+", metavar="NOTE", help="the slides of these notes instead of the book")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="the folder for the files (default: build)")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    for each in args.slides or []:
        make_slides(Book([notes()[each]]).chapters[each], args.out / f"slides-{each:02d}.pdf")
    if not args.slides:
        make_book(Book(notes().values()), args.out)


if __name__ == "__main__":
    main()
