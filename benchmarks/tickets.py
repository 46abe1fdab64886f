"""Made support tickets with planted facts: `python -m benchmarks.tickets COUNT FILE.jsonl`.

Twelve themes, the first far more often than the last; about 200 words a ticket; each tenth ticket
has a reference code, which stands nowhere else. A ticket is a function of the seed and its number,
so a larger corpus begins with the smaller one.
"""

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

_THEMES = {
    "Signing in fails": "the form of the login page reloads without a word|the code from my phone "
    "is refused each time|the link to set a new password opens an empty page|my account is locked "
    "although I typed everything rightly",
    "Charged wrongly": "the same amount was taken from our card twice|the invoice lists seats that "
    "we gave back in spring|the refund we were promised never reached the bank|there is a fee on "
    "the invoice that nobody can explain",
    "Everything is slow": "the overview needs almost a minute to open|the weekly report ends with "
    "a timeout|typing into the search field freezes the window|lists that were quick last month "
    "now crawl",
    "Data are gone": "a third of our contacts vanished after the nightly sync|the import reported "
    "success and left out rows|attachments open as empty files|of older notes only the title is "
    "left",
    "Parcel is late": "the parcel has been in the same depot for nine days|the driver noted a "
    "delivery that nobody received|the date of delivery moved for the third time|the box went to "
    "an address we left years ago",
    "Interface errors": "one request in twenty ends with a bad gateway|webhooks come hours late or "
    "not at all|we are throttled far below the documented rate|tokens expire minutes after they "
    "were issued",
    "App crashes": "the app closes itself when I open the second tab|the start screen never goes "
    "away since the update|notifications arrive at night in one burst|sending a photo ends with an "
    "unknown error",
    "Wish for a function": "we need to export all entries in one go|changing hundreds of entries "
    "by hand is not feasible|our auditors need a role that may only read|a dark mode would help "
    "the night shift",
    "Security worry": "there was a sign-in from a country where we have nobody|a mail that looks "
    "like yours asks for passwords|one of our keys turned up on a public page|the audit log has a "
    "gap of several hours",
    "Contract is to end": "we want to end the contract at the end of its term|the button to cancel "
    "leads to an error|from next month on we need a smaller plan only|please delete the account "
    "with all its data",
    "Broken device": "the unit does not start after the new firmware|the battery is empty after "
    "two hours|the display flickers when the heating is on|the sensor shows forty below zero "
    "indoors",
    "First steps": "the guide for setting up ends at step four|invitations land in the spam folder "
    "of each colleague|nobody here understands how workspaces belong together|we would like "
    "somebody to show us how to begin",
}
_PRODUCTS = "Northwind CRM|Lark Mail|Tide Pay|Quarry Drive|Moss Router|Cairn Analytics|Reed HR"
_BESIDES = (
    "It began {when}, and {who} cannot work because of it.",
    "We have {product} in {place} and depend on it every day.",
    "It happens {often}, mostly {where}.",
    "I have tried {tried}, to no avail.",
    "A colleague sees the very same thing on {device}.",
    "Somebody at your hotline said {said}, which was not so.",
    "What the screen says is only: {shown}.",
    "The consequence for us is {harm}.",
    "The number of my last request was {number}.",
    "Up to {when} all of this had worked without a flaw.",
    "Would you let me know {asked}?",
    "I must have spent {hours} hours on this by now.",
    "After a restart it is well for {minutes} minutes, then it is back.",
    "I could send you {sent} if that is of use.",
    "To be honest, {mood}.",
)
_WORDS = {
    "product": _PRODUCTS,
    "when": "on Tuesday|a fortnight ago|with the last update|at noon yesterday|on Sunday night",
    "who": "the whole desk|our bookkeeping|some forty people|each new customer|my manager",
    "place": "the Porto office|the depot|the clinic|two shops in Linz|the call centre|the school",
    "often": "each morning|one time in ten|whenever two of us work at once|after every sync",
    "where": "in the list|on page two|while saving|at the checkout|right after the login",
    "tried": "another browser|an empty cache|a fresh installation|what your help pages say",
    "device": "Windows|an elderly tablet|macOS|an iPhone|Linux|a thin client",
    "said": "it had been mended|our limit had been raised|nothing could get lost|it was an error",
    "shown": "something went wrong|error 0x80f1|end of input|access denied|null is not an object",
    "harm": "orders that lie over night|overtime for everybody|work on paper|customers in a queue",
    "asked": "when it will be mended|whether there is a way around it|who is in charge of this",
    "sent": "a full log|a test account|a recording of the screen|access to our staging system",
    "mood": "we have begun to look at others|I had hoped for better|your people were friendly",
}
_START = datetime(2026, 1, 1)


def ticket(number: int, seed: int = 1) -> dict[str, str]:
    """A ticket: id, created_at, product, subject, body, fact (its reference code, or empty)."""
    chance = Random(f"{seed} {number}")
    subject = chance.choices([*_THEMES], [1 / rank**1.1 for rank in range(1, 13)])[0]
    product = chance.choice(_PRODUCTS.split("|"))
    complaints = _THEMES[subject].split("|")
    fact = f"FACT-{(number * 7919 + seed * 104729) % 1_000_000:06}" if number % 10 == 3 else ""
    sentences = [f"Hello, this is about {product}: {chance.choice(complaints)}."]
    length = min(400, max(60, int(chance.lognormvariate(5.2, 0.42))))
    while sum(len(sentence.split()) for sentence in sentences) < length:
        words = {name: chance.choice(choices.split("|")) for name, choices in _WORDS.items()}
        words |= {"number": f"{chance.randrange(10**6):06}", "hours": f"{chance.randint(2, 30)}"}
        said = chance.choice(_BESIDES).format(**words, minutes=chance.randint(3, 90))
        if chance.random() < 0.15:
            said = f"{chance.choice(complaints).capitalize()}."
        sentences.append(said)
    if fact:
        place = chance.randint(1, len(sentences))
        sentences.insert(place, f"Reference for your records: {fact}.")
    happened = _START + timedelta(seconds=chance.randrange(180 * 86_400))
    return {
        "id": f"T{number:07}",
        "created_at": happened.isoformat(),
        "product": product,
        "subject": subject,
        "body": " ".join(sentences),
        "fact": fact,
    }


def tickets(count: int, seed: int = 1, first: int = 0) -> Iterator[dict[str, str]]:
    """So many tickets, from a number on."""
    return (ticket(number, seed) for number in range(first, first + count))


def write(path: Path, rows: "Iterator[dict[str, str]] | list[dict[str, str]]") -> Path:
    """A file with a ticket a line."""
    with path.open("w") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[2]), tickets(int(sys.argv[1])))
