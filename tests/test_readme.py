"""The README does what it says: its Python runs, its two commands are the two commands, its links lead somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_python_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = blocks("python")
    assert found
    for block in found:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own text, as a reader would type it
    printed = capsys.readouterr().out
    assert "there already: {'customer': 'ann', 'order': 17, 'total': Decimal('9.5')}" in printed
    assert "{'customer': 'ann', 'order': 18, 'total': 120}" in printed
    assert "Query  orders" in printed
    assert "1008 rows are back" in printed
    assert "unchanged=10" in printed
    assert "Fold  cpu by host: max(usage)" in printed


def test_a_newcomer_types_two_commands():
    assert blocks("sh") == ["pip install '.[tour]' && engines tour\npip install -e '.[test]' && pytest\n"]


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_eight_bullets_lead_to_one_file_each():
    before = README.partition("\n## ")[0]
    bullets = before.split("\n* ")[1:]
    assert [len(re.findall(r"\]\(", bullet)) for bullet in bullets] == [1] * 8


def test_the_session_shows_the_questions_that_the_tour_asks():
    (session,) = blocks("text")
    by_key, by_index = re.findall(r'passes\.query\("(.*?)"', session)
    assert f'QUERY = "{by_key}"' in (ROOT / "engines/tour/kv.py").read_text()
    asked = (ROOT / "engines/tour/seats.py").read_text()
    assert f'passes.query("{by_index}", index="latest"' in asked
    assert re.findall(r"store\.restore_table\(.*\)", session)[0] in asked
