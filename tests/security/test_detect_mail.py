"""Technical mail quotes commands, markup and headers; the shapes that it has are no attacks."""

import pytest

from mobius_infra.security import Detector, inspect_text

HONEST = [
    "Create a .procmailrc:\n:0fw\n| /usr/bin/spamassassin -c\nand the rest is as it was",
    'make your .forward contain only this line:\n"|/usr/bin/procmail"\n(with the quotes)',
    "of a fresh try:\n\n# rm -rf /etc/apt /var/cache/apt\n\nand it worked again",
    "> It's this section:\n>\n> <<<<<<< rules.raw\n> a\n> =======",
    ">\n>hi, I was wondering about my\nmail\n>server: it answers no more",
    "--\nTo unsubscribe write to the list",
    "------=_Next\nContent-Type: text/plain; charset=utf-8",
    "the newsletter <http://www.example.org/onvideo/onvideo.asp?newsletter=48> came",
    'Eugen <a href="http://example.org">example</a>',
]
ATTACKS = [
    ("127.0.0.1 | /usr/bin/id2 -a", "command.target"),
    ("please; rm -rf /etc", "command.target"),
    ("we saw: nc -lve 4444 here", "command.target"),
    ("bash <<<id", "command.shell"),
    ("x\r\nSet-Cookie: a=b", "header.split"),
    ("x\r\nHTTP/1.1 200 OK", "header.split"),
    ("<http://x onmouseover=alert(1)>", "xss.handler"),
    ('<a href="http://example.org./">x</a>', "xss.link"),
    ('";\nls -la', "command.after-value"),
]


@pytest.mark.parametrize("text", HONEST)
def test_mail_is_left_alone(text: str) -> None:
    assert not Detector("screen").check(text).suspicious


@pytest.mark.parametrize(("text", "rule"), ATTACKS)
def test_what_looks_like_it_and_is_none_is_still_found(text: str, rule: str) -> None:
    assert rule in {finding.rule for finding in inspect_text(text)}
