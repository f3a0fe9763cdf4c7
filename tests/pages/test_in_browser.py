"""Both pages as a real browser shows them: on a phone and on a desk, by day and by night."""

import asyncio

import peers
import pytest
from bench_figures import whole_result
from browser import chromium, sheet

from downloader.bench.page import as_page
from downloader.cli import main

pytestmark = peers.needs("chromium", "chromium")
LONG = "long-name-" * 40
EVIL = "/nowhere/<script>alert(1)</script><img src=http://127.0.0.1:1/x>$x^2$&amp;"

# Helpers for the questions below, which run in the page.
LIBRARY = """
const texts = [...document.querySelectorAll('body *')].filter(one =>
  [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const inScroll = one => one.closest('.scroll') !== null;
const said = one => one.textContent.trim().slice(0, 60);
const light = colour => {
  const parts = colour.match(/[0-9.]+/g).map(Number);
  const [r, g, b] = parts.slice(0, 3).map(part => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const ground = getComputedStyle(document.body).backgroundColor;
"""
QUESTIONS = {
    "wider than the window": """
      [document.documentElement, document.body, ...document.querySelectorAll('body *')]
        .filter(one => !inScroll(one) && !one.closest('svg'))
        .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth
          || one.getBoundingClientRect().right > innerWidth + 1
          || one.getBoundingClientRect().left < -1)
        .map(one => one.tagName + ': ' + said(one))""",
    "a box that is wider than the window": """
      [...document.querySelectorAll('.scroll')]
        .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
        .map(said)""",
    "a label outside of its plot": """
      [...document.querySelectorAll('svg text')].filter(one => {
        const own = one.getBoundingClientRect();
        const plot = one.closest('svg').getBoundingClientRect();
        return own.left < plot.left - 1 || own.right > plot.right + 1
          || own.top < plot.top - 1 || own.bottom > plot.bottom + 1;
      }).map(said)""",
    "labels over each other": """
      [...document.querySelectorAll('svg')].flatMap(plot => {
        const all = [...plot.querySelectorAll('text')]
          .map(one => [one, one.getBoundingClientRect()]);
        return all.flatMap(([one, a], place) => all.slice(place + 1)
          .filter(([, b]) =>
            Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
          .map(([other]) => said(one) + ' / ' + said(other)));
      })""",
    "letters that are too small": """
      texts.filter(one => {
        const plot = one.closest('svg');
        const scale = plot ? plot.getBoundingClientRect().width / plot.viewBox.baseVal.width : 1;
        return parseFloat(getComputedStyle(one).fontSize) * scale < 11.99;
      }).map(said)""",
    "words that hardly stand out": """
      texts.filter(one => {
        const style = getComputedStyle(one);
        const colour = one.closest('svg') ? style.fill : style.color;
        return !one.matches('.mark') && contrast(colour, ground) < 4.5;
      }).map(said)""",
    "shapes that hardly stand out": """
      [...document.querySelectorAll('svg path, svg use, .mark')].filter(one => {
        if (one.closest('defs')) return false;
        const style = getComputedStyle(one);
        const seen = [style.fill, style.stroke, one.matches('.mark') ? style.color : '']
          .filter(colour => colour.startsWith('rgb('));
        const isGround = /var\\(--(faint|ground)\\)/.test(one.getAttribute('style'));
        return seen.length && !isGround && style.fillOpacity === '1' && style.opacity === '1'
          && seen.every(colour => contrast(colour, ground) < 3);
      }).map(one => one.outerHTML.slice(0, 120))""",
    "a colour of the light page that stayed": """
      [...document.querySelectorAll('svg [style]')]
        .filter(one => /#[0-9a-f]{3,6}/i.test(one.getAttribute('style')))
        .map(one => one.getAttribute('style'))""",
    "a name that is there twice": """
      [...document.querySelectorAll('[id]')].map(one => one.id)
        .filter((id, place, all) => all.indexOf(id) !== place)""",
    "a reference to nothing": """
      [...document.querySelectorAll('use')].map(one => one.getAttribute('href'))
        .filter(to => !document.querySelector(to))""",
    "a script": "[...document.scripts].map(said)",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory, site):
    """A run's page and a bench's, with all that they can have on them."""
    folder = tmp_path_factory.mktemp("pages")
    urls = [f"{site.url}/n/{number}?latency=0.02" for number in range(60)]
    urls += [f"{site.url}/s/{4**power}/{power}" for power in range(4, 11)]
    urls += [f"{site.url}{EVIL}{number}" for number in range(3)]
    urls += [f"http://127.0.0.1:1/{LONG}", "ftp://x/y", f"{site.url}/{LONG}"]
    urls += [f"{site.url.replace('127.0.0.1', 'localhost')}/n/{n}" for n in range(9)]
    (folder / "urls.txt").write_text("\n".join(urls))
    options = ["-o", folder / "files", "--report", folder / "run.html", "-q"]
    assert main(["fetch", *map(str, [folder / "urls.txt", *options, "--retries", 0])])
    (folder / "bench.html").write_bytes(as_page(whole_result()))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as port:
        yield port


async def look(browser, path, width, scheme):
    """What the browser asked for and complained of, and its answers to all questions."""
    async with sheet(browser) as page:
        await page.load(path, width, scheme)
        answers = {
            name: await page.ask(f"{{ {LIBRARY} {question} }}")
            for name, question in QUESTIONS.items()
        }
        ground = await page.ask(f"{{ {LIBRARY} light(ground) }}")
        words = await page.ask("document.body.innerText")
        return page.requests, page.complaints, answers, ground, words


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["run", "bench"])
def test_a_page_is_whole_and_readable(pages, browser, name, width, scheme):
    path = pages / f"{name}.html"
    requests, complaints, answers, ground, words = asyncio.run(
        look(browser, path, width, scheme)
    )

    assert requests == [path.as_uri()]
    assert complaints == []
    assert {name: found for name, found in answers.items() if found} == {}
    assert (ground > 0.8) if scheme == "light" else (ground < 0.1)
    if name == "run":
        assert "<script>alert(1)</script>" in words
