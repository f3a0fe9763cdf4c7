"""Pages read back as a person reads them: facts, notes, and tables by their headings."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """The parts of a page, from its HTML.

    Attributes:
        facts: The figures at its head, by name.
        notes: The warnings.
        blocks: The tables, by the heading above each, " again" behind one that was there
            before; a row is a dict by column.
        plots: How many there are.
        labels: All the texts in plots.
    """

    def __init__(self, page):
        super().__init__()
        self.facts, self.notes, self.blocks, self.labels = {}, [], {}, []
        self.plots = 0
        self._text = ""
        self._name, self._title, self._headings, self._cells = "", "", [], []
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.plots += tag == "svg"
        if tag in {"dt", "dd", "li", "h3", "th", "td", "text"}:
            self._text = ""
        if tag == "span" and dict(attrs).get("class", "").startswith("badge"):
            self._text += "\n"
        if tag == "table":
            self._headings = []
        if tag == "tr":
            self._cells = []

    def handle_data(self, data):
        self._text += data

    def handle_endtag(self, tag):
        text = self._text.strip()
        match tag:
            case "dt":
                self._name = text
            case "dd":
                self.facts[self._name] = text
            case "li":
                self.notes.append(text)
            case "h3":
                self._title = text.partition("\n")[0].strip()
                while self._title in self.blocks:
                    self._title += " again"
                self.blocks[self._title] = []
            case "text":
                self.labels.append(text)
            case "th" | "td" | "tr":
                self._end_of_table_part(tag, text)

    def _end_of_table_part(self, tag, text):
        if tag == "th":
            self._headings.append(text)
        elif tag == "td":
            self._cells.append(text)
        elif self._cells:
            row = dict(zip(self._headings, self._cells, strict=True))
            self.blocks[self._title].append(row)
