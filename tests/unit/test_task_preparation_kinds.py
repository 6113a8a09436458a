"""Tasks of very different kinds get subtasks that make sense for them, and their own words quoted."""

from __future__ import annotations

import re
from collections import Counter

import attrs
import pytest

from phaseline.recipes.task_preparation import (
    Category,
    ProjectContext,
    Task,
    enrich_subtask,
    kind_of,
    write_prompts,
)
from phaseline.recipes.task_preparation.clauses import _NUMBER, clauses_of, exclusions_of, limits_of
from phaseline.recipes.task_preparation.english import indefinite, is_english, plural, singular
from phaseline.recipes.task_preparation.markdown import quoted
from phaseline.recipes.task_preparation.templates import decompose

STORED = ("GET /", "POST /", "PATCH /", "migration", "OpenAPI", "Who may do what", "foreign key")
"""Speaks of stored records behind HTTP."""


@attrs.frozen
class Example:
    """A task, and what its subtasks must and must not say."""

    text: str
    kind: str
    says: dict[str, str] = attrs.field(factory=dict)
    """A text by the category whose requirements hold it."""
    never: tuple[str, ...] = STORED
    title: str = ""
    """What is found in some title."""


EXAMPLES = {
    "nginx": Example(
        "Write a command line tool in Go that reads nginx access logs and detects addresses with more than 100 failed "
        "logins in 5 minutes. Output is CSV with address, count and first time; --window changes the 5 minutes. No "
        "database, no web server.",
        "command line tool",
        {
            "SERVICE": "more than 100 failed logins in 5 minutes",
            "DATA_MODEL": "Output is CSV with address, count and first time",
            "HTTP_API": "--window changes the 5 minutes",
            "TESTING": "“more than 100 failed logins in 5 minutes”: try it just below",
        },
        (*STORED, "AccessLog", "LogIn", "a access"),
        "with go test for the command line tool in Go",
    ),
    "checkout": Example(
        "React checkout slow: lazy-load images, cut the bundle below 150 kB",
        "performance work",
        {"SERVICE": "150 kB", "TESTING": "“below 150 kB”", "DATA_MODEL": "baseline"},
        (*STORED, "ReactShop", "LazyLoad", "/images"),
        "Measure where the time and space go",
    ),
    "django": Example(
        "Upgrade Django 3.2 to 5.0. Fix the deprecation warnings; do not change any URL.",
        "upgrade or refactoring",
        {"SERVICE": "Upgrade Django 3.2 to 5.0", "HTTP_API": "do not change any URL"},
        (*(word for word in STORED if word != "migration"), "warningses", "DeprecationWarning"),
        "“Upgrade Django 3.2 to 5.0”",
    ),
    "upload": Example(
        "Users upload CSV files of customers. The service imports customers, skips duplicates by e-mail and mails a "
        "report of at most 500 lines.",
        "web application",
        {"HTTP_API": "POST /files", "SERVICE": "at most 500 lines", "TESTING": "at most 500 lines"},
        ("ImportsCustomer", "EMail", "userses", "SkipsDuplicate"),
        "Customer",
    ),
    "login": Example(
        "Add login",
        "web application",
        {"HTTP_API": "POST /log-in"},
        ("LogIn", "log-ins"),
        "Model User",
    ),
    "restaurant": Example(
        "Customers book a table in a restaurant for up to 8 guests. A booking can be cancelled until 2 hours before.",
        "web application",
        {
            "HTTP_API": "POST /bookings` to book a table",
            "SERVICE": "until 2 hours before",
            "TESTING": "up to 8 guests",
        },
        ("/customers/{id}/book",),
        "Model Table, Restaurant and Booking",
    ),
    "fix it": Example("Fix it", "bug fix", {"SERVICE": "Fix it"}, (*STORED, "task-"), "“Fix it”"),
    "german": Example(
        "Ein Nutzer kann sein Passwort per E-Mail zurücksetzen; der Link läuft nach einer Stunde ab.",
        "software task",
        {"SERVICE": "der Link läuft nach einer Stunde ab", "TESTING": "zurücksetzen"},
        (*STORED, "Model ", "/passwort"),
        "“Ein Nutzer kann sein Passwort",
    ),
    "japanese": Example("予約システムを作る。毎日10件まで。", "software task", {"SERVICE": "毎日10件まで"}),
    "cron": Example(
        "Write a Python library for parsing cron expressions. next_run(expr, after) gives the next time; a wrong "
        "expression raises CronError with the position. No dependencies.",
        "library",
        {
            "SERVICE": "parsing cron expressions",
            "HTTP_API": "next_run(expr, after)",
            "DATA_MODEL": "The task rules out: “No dependencies”",
        },
        title="with pytest for the Python library",
    ),
    "nightly": Example(
        "Nightly job: load orders from S3 as Parquet, deduplicate by order id, keep the newest, write to BigQuery by "
        "day. Late data up to 3 days.",
        "data pipeline",
        {"SERVICE": "up to 3 days", "DATA_MODEL": "deduplicate by order id", "TESTING": "“up to 3 days”"},
        title="schemas (Parquet)",
    ),
    "one cent": Example(
        "Invoice totals are wrong by one cent: fix the rounding when a discount of 33.3% is applied.",
        "bug fix",
        {"SERVICE": "a discount of 33.3%", "TESTING": "“33.3%”", "DATA_MODEL": "Steps, input, versions"},
        title="failing test first",
    ),
    "dark": Example(
        "Add a dark mode toggle to the settings page; remember the choice, contrast at least 4.5:1.",
        "user interface",
        {"SERVICE": "contrast at least 4.5:1", "HTTP_API": "dark mode toggle", "TESTING": "“at least 4.5:1”"},
        title="component contract",
    ),
    "currencies": Example(
        "Build an HTTP API that converts currencies with the daily rates of the ECB. No database; rates are cached in "
        "memory for 6 hours.",
        "web service without stored records",
        {"SERVICE": "for 6 hours", "HTTP_API": "Method, path, request", "DATA_MODEL": "“No database”"},
        ("GET /", "migration", "foreign key", "rateses"),
    ),
    "refactoring": Example(
        "Refactor the payment module: extract the Stripe calls into an adapter, no behaviour change, coverage stays at 90%.",
        "upgrade or refactoring",
        {"SERVICE": "extract the Stripe calls", "TESTING": "90%"},
    ),
    "backup": Example(
        "A bash script that backs up a folder to S3 every night and deletes backups older than 30 days, without UI.",
        "command line tool",
        {"SERVICE": "older than 30 days", "HTTP_API": "Exit code 0", "TESTING": "“older than 30 days”"},
    ),
    "firmware": Example(
        "ESP32 firmware reads the temperature every 10 seconds and publishes it over MQTT; retry when offline.",
        "software task",
        {"SERVICE": "every 10 seconds", "TESTING": "retry when offline"},
    ),
    "loans": Example(
        "Students borrow books from the library, at most 5 at once, for 4 weeks. Librarians get a list of overdue loans.",
        "web application",
        {"HTTP_API": "`POST /loans` to borrow books", "SERVICE": "at most 5 at once"},
        ("a loans", "Library"),
        "Loan and Book",
    ),
    "blog": Example(
        "A blog where authors write posts and readers comment",
        "web application",
        {"HTTP_API": "`POST /posts` to write posts"},
        ("ReadersComment", "/readers-comment"),
        "Model Post",
    ),
    "invoices": Example(
        "Build a REST API for managing invoices with PostgreSQL. Customers pay by card.",
        "web application",
        {"HTTP_API": "GET /invoices"},
        (),
        "Invoice",
    ),
    "hotel": Example("Build a hotel management system", "web application", {}, ("hotelses",), "Model Hotel"),
}

examples = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def requirements(task):
    """The requirements of each category."""
    found = dict.fromkeys(Category, "")
    for subtask in decompose(task):
        found[subtask.category] += "\n".join(subtask.requirements) + "\n"
    return found


def prompts_of(text, stack=()):
    """The prompts of a task, by the templates."""
    task = Task.from_text(text, context=ProjectContext(tech_stack=stack))
    return write_prompts(task, [enrich_subtask(subtask, task) for subtask in decompose(task)])


def own_words(text):
    """What the recipe says by itself: its prompts without the words of the task that it quotes."""
    prompts = "\n".join(prompt.text for prompt in prompts_of(text))
    prompts = re.sub(r"^# .*$|```.*?```", "", prompts, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"“[^”]*”", "“”", prompts)


# --------------------------------------------------------------------- whole tasks
@examples
def test_kind_is_told_by_the_words(example):
    """The words of a task reveal its kind."""
    assert example.kind == kind_of(Task.from_text(example.text)).name


@examples
def test_there_are_always_two_subtasks_for_each_category(example):
    """Eight subtasks whatever the kind."""
    subtasks = decompose(Task.from_text(example.text))

    assert dict.fromkeys(Category, 2) == Counter(subtask.category for subtask in subtasks)


@examples
def test_clauses_are_quoted_where_they_belong(example):
    """The task's own words and numbers are requirements of the categories they belong to."""
    found = requirements(Task.from_text(example.text))

    assert {} == {name: text for name, text in example.says.items() if text not in found[Category(name)]}
    assert example.title in " | ".join(subtask.title for subtask in decompose(Task.from_text(example.text)))


@examples
def test_nothing_is_asked_that_the_task_is_not_about(example):
    """Neither subtasks nor practices speak of what the task has not."""
    prompts = "\n".join(prompt.text for prompt in prompts_of(example.text)).replace(example.text, "")

    assert [] == [word for word in example.never if re.search(rf"\b{re.escape(word)}", prompts)]


@examples
def test_every_clause_is_tested_in_the_end(example):
    """The last subtask quotes every clause of the task."""
    last = "\n".join(decompose(Task.from_text(example.text))[-1].requirements)
    clauses, more = clauses_of(example.text)

    assert not more
    assert all(f"“{quoted(clause.text)}”" in last for clause in clauses)


@examples
def test_no_plural_is_doubled(example):
    """No word ends like the plural of a plural."""
    doubled = re.compile(r"\w{2,}(?:[^aiosux]ses|ieses|eses)\b", re.IGNORECASE)
    fine = {"uses", "causes", "releases", "databases", "phases", "cases", "responses", "expenses", "licenses"}

    assert [] == [word for word in doubled.findall(own_words(example.text)) if word.lower() not in fine]


@examples
def test_articles_fit(example):
    """What the recipe says uses "a" and "an" by sound."""
    pairs = re.findall(r"\b(an?) ([A-Za-z][\w-]*)", own_words(example.text), re.IGNORECASE)

    assert [] == [
        (article, noun) for article, noun in pairs if article.lower() != (indefinite(noun).split()[0])
    ]


def test_excluded_surface_rules_a_kind_out():
    """A task that says "no database" is not taken for one about stored records."""
    text = "Users create, list and delete notes in an app. "

    assert "web application" == kind_of(Task.from_text(text)).name
    assert "web application" != kind_of(Task.from_text(text + "No database.")).name


def test_stated_technology_fits_the_kind():
    """A database in the project's stack does not turn a command line tool into a database application."""
    prompts = prompts_of(EXAMPLES["nginx"].text, ("Go", "PostgreSQL", "React"))
    text = "\n".join(prompt.text for prompt in prompts)

    assert "isolation level" not in text
    assert "CORS" not in text
    assert "PostgreSQL: where this work touches it, follow its current documentation" in text
    assert "an `io.Reader`" in text


def test_prompts_are_headed_by_the_kind():
    """A category is called what it is for this kind of task."""
    headings = [prompt.text.partition(":")[0] for prompt in prompts_of(EXAMPLES["nginx"].text)]

    assert ["# Data and formats", "# Core logic", "# Command line", "# Testing"] == headings


def test_long_text_is_quoted_in_part_and_named_as_a_whole():
    """Of a very long text the first clauses are quoted, and the rest is pointed at."""
    text = " ".join(f"The report has section {number} with a sum." for number in range(50))
    last = decompose(Task.from_text(text))[-1].requirements

    assert "Whatever else the text of the task asks for; it is quoted whole under “Context”." == last[-1]
    assert 20 > len(last)


# --------------------------------------------------------------------- parts
@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("block after 5 failed attempts per hour", ("after 5 failed attempts per hour",)),
        ("stay below 150 kB", ("below 150 kB",)),
        ("at most 5 at once", ("at most 5",)),
        ("contrast at least 4.5:1", ("at least 4.5:1",)),
        ("expires after one hour", ("after one hour",)),
        ("Django 3.2 to 5.0", ()),
        ("release 2 and v1.4", ()),
        ("1h30m style", ()),
        ("no numbers", ()),
    ],
)
def test_limits_are_numbers_with_units(text, limits):
    """A number counts with its unit and what compares it; versions do not."""
    assert limits == limits_of(text)


def test_a_list_of_numbers_is_not_read_to_its_end_from_each_of_them():
    """However long a list is that somebody pasted: with it everything in the process would stand still."""
    pasted = ",".join("0123456789" * 100)
    longest = max(len(found[0]) for found in re.finditer(_NUMBER, pasted))

    assert longest <= 31
    assert limits_of(f"at most 1,000,000.5 items of {pasted}") == ("at most 1,000,000.5 items",)


@pytest.mark.parametrize(
    ("text", "excluded", "surfaces"),
    [
        ("No database, no web server.", ["No database, no web server"], {"database", "http"}),
        ("It does not need a UI or a server", ["does not need a UI or a server"], {"browser", "http"}),
        ("without UI, API only", ["without UI"], {"browser"}),
        (
            "without any database, server or UI",
            ["without any database, server or UI"],
            {"database", "http", "browser"},
        ),
        ("no API changes, no server errors", [], set()),
        ("a database and a server", [], set()),
    ],
)
def test_exclusions_are_what_the_text_says_no_to(text, excluded, surfaces):
    """What stands after "no" and "without" is ruled out, through a list."""
    found = exclusions_of(text)

    assert excluded == [exclusion.text for exclusion in found]
    assert surfaces == {surface for exclusion in found for surface in exclusion.surfaces}


@pytest.mark.parametrize(
    "noun",
    ["user", "image", "access log", "hour", "URL", "API", "unit", "umbrella", "one-off", "SMS", "European"],
)
def test_article_goes_by_sound(noun):
    """It is "an hour" and "a user"."""
    expected = "a" if noun in {"user", "URL", "unit", "one-off", "European"} else "an"

    assert f"{expected} {noun}" == indefinite(noun)


@pytest.mark.parametrize(
    "noun",
    [
        "user",
        "class",
        "status",
        "box",
        "category",
        "day",
        "lens",
        "alias",
        "person",
        "news",
        "address",
        "deprecation warning",
    ],
)
def test_plural_of_a_plural_is_itself(noun):
    """A plural is not made plural again, and its singular is the noun."""
    many = plural(noun)

    assert many == plural(many)
    assert noun.rpartition(" ")[2] == singular(many.rpartition(" ")[2])


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("todo app", True),
        ("Users can reset a password", True),
        ("Der Nutzer kann sich anmelden", False),
        ("Los clientes reservan una mesa", False),
        ("42", False),
    ],
)
def test_english_is_told_by_its_words(text, known):
    """A text counts as understood if more of its words are English than foreign."""
    assert known == is_english(text.lower().split())
