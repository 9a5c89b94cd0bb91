"""Exercises of a formal kind: sums, sequences, records, small code, queries, made-up languages."""

import json
from random import Random

from training_worker.tasks import words
from training_worker.tasks.exercises import Exercise, Pair
from training_worker.tasks.grammar import number_words, plural, singular
from training_worker.tasks.world import World, invent_word


def symbols(rng: Random, world: World) -> Pair:
    """Work out a sum in figures."""
    del world
    a, b = rng.randint(0, 99), rng.randint(0, 99)
    sign, result = rng.choice([("+", a + b), ("-", a - b), ("*", a * (b % 13))])
    return f"{a} {sign} {b % 13 if sign == '*' else b} =", str(result)


def sums_in_words(rng: Random, world: World) -> Pair:
    """Work out a sum in words."""
    del world
    a, b = rng.randint(1, 60), rng.randint(1, 39)
    return f"{number_words(a)} plus {number_words(b)}", number_words(a + b)


def word_problem(rng: Random, world: World) -> Pair:
    """Solve a small story, the steps shown."""
    del world
    name, noun = rng.choice(words.FIRST_NAMES), plural(rng.choice(words.THINGS + words.FOODS))
    a, b, c = rng.randint(5, 60), rng.randint(2, 40), rng.randint(2, 9)
    options = (
        (
            f"{name} has {a} {noun} and buys {b} more. How many {noun} does {name} have?",
            f"{name} has {a} + {b} = {a + b} {noun}. The answer is {a + b}.",
        ),
        (
            f"{name} had {a + b} {noun} and lost {b}. How many {noun} are left?",
            f"There are {a + b} - {b} = {a} {noun} left. The answer is {a}.",
        ),
        (
            f"There are {c} boxes with {b} {noun} in each box. How many {noun} are there?",
            f"There are {c} * {b} = {c * b} {noun}. The answer is {c * b}.",
        ),
        (
            f"{name} shares {b * c} {noun} among {c} friends. How many does each friend get?",
            f"Each friend gets {b * c} / {c} = {b} {noun}. The answer is {b}.",
        ),
    )
    return rng.choice(options)


def equation(rng: Random, world: World) -> Pair:
    """Turn a story with named numbers into a prefix equation."""
    del world
    name, noun = rng.choice(words.FIRST_NAMES), plural(rng.choice(words.THINGS))
    options = (
        (f"{name} has number0 {noun} . {name} buys number1 more .", "+ number0 number1"),
        (f"{name} had number0 {noun} and lost number1 .", "- number0 number1"),
        (f"number0 boxes hold number1 {noun} each .", "* number0 number1"),
        (f"number0 {noun} are shared by number1 people .", "/ number0 number1"),
        (
            f"{name} had number0 {noun} , lost number1 and found number2 .",
            "+ - number0 number1 number2",
        ),
    )
    text, result = rng.choice(options)
    return f"{text} How many {noun} ?", result


def _items(rng: Random) -> list[str]:
    kind = rng.randrange(3)
    count = rng.randint(3, 7)
    if kind == 0:
        return [str(rng.randint(0, 99)) for _ in range(count)]
    if kind == 1:
        return [invent_word(rng) for _ in range(count)]
    return [singular(word) for word in rng.sample(words.THINGS + words.ANIMALS, count)]


def _key(item: str) -> tuple[int, str]:
    return (int(item), "") if item.isdigit() else (0, item)


def copy(rng: Random, world: World) -> Pair:
    """Say the same again."""
    del world
    items = " ".join(_items(rng))
    return f"copy {items}", items


def reverse(rng: Random, world: World) -> Pair:
    """Say a list backwards."""
    del world
    items = _items(rng)
    return f"reverse {' '.join(items)}", " ".join(reversed(items))


def sort(rng: Random, world: World) -> Pair:
    """Put a list in order."""
    del world
    items = _items(rng)
    return f"sort {' '.join(items)}", " ".join(sorted(items, key=_key))


def pick(rng: Random, world: World) -> Pair:
    """Name the first, the last, or how many."""
    del world
    items = _items(rng)
    asked, result = rng.choice(
        [("first", items[0]), ("last", items[-1]), ("second", items[1]), ("count", str(len(items)))]
    )
    return f"{asked} of {', '.join(items)}", result


def spell(rng: Random, world: World) -> Pair:
    """Spell a word, or put its letters together."""
    del world
    word = invent_word(rng) if rng.random() < 0.5 else singular(rng.choice(words.THINGS))
    kind, result = rng.choice(
        [("spell", "-".join(word)), ("capital", word.upper()), ("length of", str(len(word)))]
    )
    return f"{kind} {word}", result


def lookup(rng: Random, world: World) -> Pair:
    """Find the value of a key in a list of pairs."""
    del world
    keys = [invent_word(rng) for _ in range(rng.randint(3, 6))]
    values = {key: singular(rng.choice(words.THINGS)) for key in keys}
    asked = rng.choice(keys)
    return ", ".join(f"{k}: {v}" for k, v in values.items()) + f". {asked}?", values[asked]


def as_json(rng: Random, world: World) -> Pair:
    """Write a sentence as JSON."""
    someone = rng.choice(world.people)
    record = {"name": someone.name, "job": someone.job, "born": someone.born, "pet": someone.pet}
    text = f"{someone.name} is a {someone.job}, born in {someone.born}, with a {someone.pet}."
    return text, json.dumps(record)


def as_csv(rng: Random, world: World) -> Pair:
    """Write towns as comma-separated lines."""
    towns = rng.sample(world.places, rng.randint(2, 4))
    text = " ".join(f"{t.name} in {t.region} was founded in {t.founded}." for t in towns)
    return text, "name,region,founded\n" + "\n".join(
        f"{t.name},{t.region},{t.founded}" for t in towns
    )


_COMMANDS = (
    ("list all files in {d}", "ls {d}"),
    ("find all {e} files in {d}", 'find {d} -name "*.{e}"'),
    ("find {e} files under {d} changed in the last {n} days", 'find {d} -name "*.{e}" -mtime -{n}'),
    ("find directories named {w} in {d}", "find {d} -type d -name {w}"),
    ("delete the file {w}.{e}", "rm {w}.{e}"),
    ("copy {w}.{e} to {d}", "cp {w}.{e} {d}"),
    ("move every {e} file to {d}", "mv *.{e} {d}"),
    ("count the lines of {w}.{e}", "wc -l {w}.{e}"),
    ("search for {w} in all {e} files", 'grep -r "{w}" --include="*.{e}" .'),
    ("show the first {n} lines of {w}.{e}", "head -n {n} {w}.{e}"),
    ("show the last {n} lines of {w}.{e}", "tail -n {n} {w}.{e}"),
    ("sort {w}.{e} and remove double lines", "sort {w}.{e} | uniq"),
    ("make a directory {w}", "mkdir -p {w}"),
    ("find files larger than {n} megabytes in {d}", "find {d} -type f -size +{n}M"),
    ("find files in {d} and print them", "find {d} -type f -print"),
    ("archive {d} as {w}.tar.gz", "tar -czf {w}.tar.gz {d}"),
    ("print column {n} of {w}.{e}", "awk '{{print ${n}}}' {w}.{e}"),
)


def shell(rng: Random, world: World) -> Pair:
    """Turn a wish into a shell command."""
    del world
    asked, command = rng.choice(_COMMANDS)
    values = {
        "d": rng.choice(["/home", "/tmp", ".", "/etc", f"/{invent_word(rng)}", "the_folder"]),
        "e": rng.choice(["txt", "py", "c", "log", "csv", "jpg", "html", "java", "md"]),
        "n": rng.randint(1, 30),
        "w": rng.choice([invent_word(rng), singular(rng.choice(words.THINGS)).replace(" ", "_")]),
    }
    return asked.format(**values), command.format(**values)


def sql(rng: Random, world: World) -> Pair:
    """Turn a question into a query."""
    columns = ["name", "region", "river", "population", "founded"]
    wanted, given = rng.sample(columns, 2)
    value = getattr(rng.choice(world.places), given)
    quoted = value if isinstance(value, int) else f'"{str(value).lower()}"'
    how, select = rng.choice(
        [
            ("What is the {w}", "{W}"),
            ("How many {w}s are there", "COUNT ( {W} )"),
            ("What is the highest {w}", "MAX ( {W} )"),
            ("What is the average {w}", "AVG ( {W} )"),
        ]
    )
    return (
        f"{how.format(w=wanted)} when the {given} is {value}?",
        f"SELECT {select.format(W=wanted.upper())} FROM TABLE WHERE {given.upper()} = {quoted} ;",
    )


def code(rng: Random, world: World) -> Pair:
    """Write a small function."""
    del world
    name, n = invent_word(rng), rng.randint(2, 20)
    options = (
        (f"adds {n}", f"def {name}(x):\n    return x + {n}"),
        (f"multiplies by {n}", f"def {name}(x):\n    return x * {n}"),
        ("returns the larger of two numbers", f"def {name}(a, b):\n    return a if a > b else b"),
        (f"counts to {n}", f"def {name}():\n    for i in range({n}):\n        print(i)"),
        ("sums a list", f"def {name}(items):\n    return sum(items)"),
        (
            "keeps the even numbers",
            f"def {name}(items):\n    return [x for x in items if x % 2 == 0]",
        ),
        ("reverses a text", f"def {name}(text):\n    return text[::-1]"),
        (
            f"is true above {n}",
            f"def {name}(x):\n    if x > {n}:\n        return True\n    return False",
        ),
    )
    what, body = rng.choice(options)
    return f"a function {name} that {what}", body


def translate(rng: Random, world: World) -> Pair:
    """Turn English into the language of the world, verb last."""
    subject, thing = rng.sample(words.PEOPLE + words.ANIMALS, 2)
    verb = rng.choice(words.TRANSITIVE[:40])
    foreign = [foreign_word(world, singular(word)) for word in (subject, thing, verb)]
    return (
        f"The {singular(subject)} will {singular(verb)} the {singular(thing)}.",
        f"Ta {foreign[0]} ta {foreign[1]} {foreign[2]}u.",
    )


def foreign_word(world: World, word: str) -> str:
    """Return a word's translation, always the same in one world."""
    return invent_word(Random(f"{world.places[0].name}-{word}"), syllables=2)


def interpret(rng: Random, world: World) -> Pair:
    """Turn the language of the world into English."""
    english, foreign = translate(rng, world)
    return foreign, english


def puzzle(rng: Random, world: World) -> Pair:
    """Follow where a thing goes, or whether steps lead back."""
    del world
    names = rng.sample(words.FIRST_NAMES, 3)
    items = [singular(item) for item in rng.sample(words.THINGS, 3)]
    owns = dict(zip(names, items, strict=True))
    lines = [f"{name} has the {item}." for name, item in owns.items()]
    for _ in range(rng.randint(1, 3)):
        a, b = rng.sample(names, 2)
        owns[a], owns[b] = owns[b], owns[a]
        lines.append(f"{a} and {b} swap.")
    asked = rng.choice(names)
    return " ".join(lines) + f" What does {asked} have at the end?", owns[asked]


FORMAL = {
    "symbols": Exercise(instruction="Calculate.", labels=("Question", "Answer"), make=symbols),
    "sums_in_words": Exercise(
        instruction="Calculate.", labels=("Problem", "Result"), make=sums_in_words
    ),
    "word_problem": Exercise(
        instruction="Solve the problem.", labels=("Question", "Answer"), make=word_problem
    ),
    "equation": Exercise(
        instruction="Translate the problem into a prefix equation.",
        labels=("Problem", "Equation"),
        make=equation,
    ),
    "copy": Exercise(instruction="Copy the words.", labels=("Input", "Output"), make=copy),
    "reverse": Exercise(instruction="Reverse the list.", labels=("Input", "Output"), make=reverse),
    "sort": Exercise(instruction="Sort the list.", labels=("Input", "Output"), make=sort),
    "pick": Exercise(instruction="Find it in the list.", labels=("Question", "Answer"), make=pick),
    "spell": Exercise(instruction="Look at the letters.", labels=("Word", "Result"), make=spell),
    "lookup": Exercise(instruction="Look it up.", labels=("Table", "Value"), make=lookup),
    "as_json": Exercise(instruction="Write this as JSON.", labels=("Text", "JSON"), make=as_json),
    "as_csv": Exercise(instruction="Write this as a table.", labels=("Text", "CSV"), make=as_csv),
    "shell": Exercise(instruction="Write a shell command.", labels=("Task", "Command"), make=shell),
    "sql": Exercise(instruction="Write a query.", labels=("Question", "SQL"), make=sql),
    "code": Exercise(instruction="Write Python.", labels=("Task", "Code"), make=code),
    "translate": Exercise(
        instruction="Translate from English.", labels=("English", "Foreign"), make=translate
    ),
    "interpret": Exercise(
        instruction="Translate into English.", labels=("Foreign", "English"), make=interpret
    ),
    "puzzle": Exercise(instruction="Follow the swaps.", labels=("Question", "Answer"), make=puzzle),
}
