"""Runs a notebook without Jupyter: its code cells in order, in one namespace; fails where one does.

    python tests/long/run_notebook.py             # some ten seconds; examples/notebooks/first_hour.ipynb
    python tests/long/run_notebook.py --write     # and keep in the file what its cells print and show

The value of a cell's last expression is shown as Jupyter would: a figure as PNG, anything else as text.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import time
from pathlib import Path

from PIL import Image  # Matplotlib brings it

FIRST_HOUR = Path(__file__).parents[2] / "examples" / "notebooks" / "first_hour.ipynb"


class Outputs(list):
    """What one cell gives, as nbformat 4 writes it: streams in the order of their text, then a value."""

    class Stream(io.TextIOBase):
        def __init__(self, outputs, name):
            self.outputs, self.name = outputs, name

        def write(self, text):
            if not self.outputs or self.outputs[-1].get("name") != self.name:
                self.outputs.append({"name": self.name, "output_type": "stream", "text": ""})
            self.outputs[-1]["text"] += text
            return len(text)

    def show(self, value, count):
        data = {"text/plain": lines(repr(value))}
        if png := getattr(value, "_repr_png_", lambda: None)():
            data["image/png"] = base64.b64encode(smaller(png)).decode()
        if html := getattr(value, "_repr_html_", lambda: None)():
            data["text/html"] = lines(html)
        self.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})

    def finished(self):
        for output in self:
            if output["output_type"] == "stream":  # a bar writes its line over and over: keep the last
                output["text"] = lines("\n".join(line.rpartition("\r")[2] for line in output["text"].split("\n")))
        return list(self)


def smaller(png):
    """The same picture with at most 256 colours, half the bytes: the file is kept in the repository."""
    content = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(content, "png", optimize=True)
    return content.getvalue()


def lines(text):
    return text.splitlines(keepends=True)


def run_cell(source, names, count):
    """The outputs of one cell, which runs in the namespace names."""
    tree, outputs, where = ast.parse(source), Outputs(), f"cell {count}"
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out, err = Outputs.Stream(outputs, "stdout"), Outputs.Stream(outputs, "stderr")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        exec(compile(tree, where, "exec"), names)
        value = eval(compile(last, where, "eval"), names) if last else None
    if value is not None:
        outputs.show(value, count)
    return outputs.finished()


def run(notebook):
    """Run all code cells of a notebook (its JSON as a dict), and put what they give into it."""
    names, count = {"__name__": "__main__"}, 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["outputs"], cell["execution_count"] = run_cell("".join(cell["source"]), names, count), count
    return count


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", nargs="?", type=Path, default=FIRST_HOUR)
    parser.add_argument("--write", action="store_true", help="keep the outputs in the file")
    options = parser.parse_args(arguments)
    notebook, start = json.loads(options.notebook.read_text("utf-8")), time.perf_counter()
    count = run(notebook)
    if options.write:
        options.notebook.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8", newline="\n")
    print(f"{count} cells ran in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
