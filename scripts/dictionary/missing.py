"""Lists the English names of the dictionary that labels_zh.tsv does not translate, and rows that translate nothing."""

import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "src/hl7/dictionary"


def rows(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def main():
    names = {row[-1]: None for row in rows("definitions.tsv") if row[0] != "V"}
    translated = {row[0] for row in rows("labels_zh.tsv")}
    for name in names:
        if name not in translated:
            print(name)
    for name in sorted(translated - set(names)):
        print("no such name:", name)


main()
