r"""Command injection: does a value end and a program follow it, in a shell of any kind?

What hides a program from a search (`c""at`, `c\at`, `${IFS}`, `^`) is taken off first, since the
shell takes it off too. Programs whose names are words of English need an argument that is none.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, Hit, Rule, mentions, plain


def _rule(what: str, why: str) -> Rule:
    return Rule(f"command.{what}", "command", CRITICAL, why)


# What stands for a blank, and what stands for nothing.
_DISGUISE = re.compile(
    r"(?P<blank>\$(?:\{IFS[^}]{0,20}\}|IFS(?:\$\d|\b))|%ProgramFiles:~10,-5%"
    r"|(?<=[{\w]),(?=[-/\w.]{1,60}[},]))"
    r"|''|\"\"|(?<!`)``(?!`)|\\(?=[a-z/\n])|\$[@*]|\^(?=[a-z])|(?<=[a-z/])['\"](?=[a-z/])|\$\(\)"
    r"|\$\{\w{0,3}\}|\$(?=['\"])",
    re.IGNORECASE,
)
_DISGUISED = ("\\", "$", "^", "''", '""', "``", "{", "%P", "%p")
_QUOTED = re.compile(r"['\"](?:(?<=\w.)[\w/]{0,9}+['\"]|[\w/]{0,9}+['\"]\w)")

# Not words of English: the name is enough after a separator.
_UNMISTAKABLE = frozenset(
    """
    ls whoami wget curl nslookup ifconfig ipconfig netstat uname bash zsh ksh csh chmod
    chown powershell pwsh cmd nc ncat netcat telnet systeminfo tasklist pwd printenv ipcs
    wmic certutil bitsadmin mshta regsvr32 rundll32 cscript wscript getent lsof dig tcpdump
    nmap socat phpinfo cat id traceroute tracert passwd useradd adduser sudo mkdir rmdir
    lsb_release dpkg systemctl uptime pkill crontab hostname dir ps grep awk sed xxd base64
    tftp scp rm mv cp ss df du env ipcalc vim netsh arp gcc whereis nohup busybox openssl
    gawk mawk nawk mysql psql redis-cli kubectl apt-get yum apk pip npm rsync sftp ssh-
    keygen dmesg lscpu lspci lsblk nproc vmstat iostat iptables sysctl mknod mkfifo uniq wc
    nl od hexdump tac rev xz gzip gunzip bunzip2 chroot chattr chsh usermod groupadd visudo
    dnsdomainname domainname ifup vi qwinsta quser schtasks wevtutil icacls attrib taskkill
    driverquery gpresult nbtstat pathping getmac vssadmin bcdedit winrm diskpart msiexec
    installutil forfiles findstr xcopy robocopy sysinfo phpversion iex gci gwmi irb sendmail
    """.split()  # noqa: SIM905 - a list of words reads better so
)
# Words, or names of languages: an argument must tell.
_AMBIGUOUS = frozenset(
    """
    sleep ping find type more less who w sh last head tail touch kill net route time date
    python perl ruby php node lua tee sort cut finger host export source eval exec set start
    copy del print which xargs tar zip reboot shutdown read printf test mail ftp ssh man
    timeout waitfor jobs history ver vol users expr seq yes watch make git split file stat
    locate alias unset join paste free top arch service mount dd diff comm fold look trap
    wait logname lastlog pg ed ex view emacs nano strings mysqldump gdb strace install
    start-sleep new-object true false rundll call for if echo reg cal groups docker lp apt
    ip
    """.split()  # noqa: SIM905
)
_CMDLETS = ("invoke-", "start-", "get-", "new-", "write-", "out-", "set-", "add-", "remove-")

# A program, by its name or with the directory that it lives in.
_CALLED = re.compile(
    r"[\"'({]?(?:(?:[a-z]:)?(?:[/\\][\w.?*-]{1,20}){0,5}[/\\])?([a-z][a-z0-9_-]{0,20}+)"
    r"(?:\.exe|[\d.]{1,4})?+(?![\w:=])",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(
    r"\s++(?:[-+/\\$\"'`~.*>|{]|\d|https?:|%|[a-z]:|user\b|[\w.-]{1,40}\.[a-z]{2,6}\b"
    r"|(?:stop|view|localgroup)\b)|[<>|&;`)#]|/[ck]\b|\s*+$",
    re.IGNORECASE,
)
_ONE_WORD = re.compile(r"\s++[\w.-]{1,40}(?:=\S{0,40})?(?:\)|\W{0,3}$)")
_PROSE = re.compile(
    r"\s++[a-z]++(?:\s++[a-z]{2,}+){2}|[.-]|/(?![ck]\b)|\s+(?:and|is|are|or|was)\b", re.IGNORECASE
)
_SEPARATOR = re.compile(r"(?:[;|&\r\n]|\$\(|%0[ad]){1,4}+[\s({!;|&$@,+]{0,8}+", re.IGNORECASE)
_LED = re.compile(r"[^\w\s`>#]{0,3}+[^\S\r\n]*+[\r\n]")
_WRITTEN_OUT = re.compile(r"\W{0,3}?\\[nr]\s?")
_BACKTICK = re.compile(
    r"(?![^`]{0,60}```)(?:[^\s`]{0,60}|[^\s`]{0,60}\s?[;|&]\s?)`{1,2}\s?(?=[^`]{1,400}`\W{0,20}$)"
)
_OPENED = re.compile(r"\$\(\s{0,4}`?|(?:[;|&(]\s?`\s?|=`)")
_ARGUMENTS = re.compile(
    r"(?:\s++(?:-{1,2}\w[\w=-]{0,20}|/[a-z]\b|[/~.][\w./*?~-]{0,200}|'[^']{0,200}'"
    r"|\"[^\"]{0,200}\"|https?://\S{1,200}|[a-z]:[\\/]\S{0,200}|%\w{1,30}%\S{0,100}"
    r"|\d+(?:\.\d+){3}|\d+|localhost))++\s*+[;&|]?$",
    re.IGNORECASE,
)
_BINARY = re.compile(
    r"[/\\](?:usr[/\\](?:local[/\\])?)?s?bin[/\\][\w.?*-]{1,20}(?:\s+[-/]|$)", re.IGNORECASE
)

_AFTER_VALUE = _rule("after-value", "a value, a separator and a program")
_BACKTICKS = _rule("backticks", "a program in backticks")
_SUBSTITUTION = _rule("substitution", "a program whose output is put in")
_WHOLE = _rule("whole", "a command line and nothing else")
_ALONE = _rule("alone", "the name of a program that tells of the machine")
_TARGET = _rule("target", "what only an attack runs")
_SHELL = _rule("shell", "what only a shell understands")
_CODE = _rule("code", "a call that runs a program or code")

# A program that shows what is in a file, up to the name of the file.
_READS = (
    r"(?:^|[;|&`(\s'\"/])(?:cat|more|less|head|tail|type|tac|nl|od|vi|cp|grep\s\S{1,20})"
    r"\s*+[<\s\"']\s*+"
)
# In the first line: mails quote scripts.
_LINE = r"^\s{0,9}[^\n]{0,200}?"
# Shapes by the sign that none of them can do without, since most messages have few, and for each
# shape the words of which it needs one, in lower case.
_SHAPES: dict[str, tuple[tuple[Rule, str, tuple[str, ...]], ...]] = {
    "": (
        (_ALONE, (r"^\W{0,2}(?:whoami|ifconfig|ipconfig|uname|netstat|systeminfo|sysinfo|printenv"
         r"|pwd|tasklist|lsb_release|hostname|nslookup)\W{0,2}$"
         r"|^net\s(?:view|user|share|start|use|config|accounts|localgroup)\s?$"
         r"|^which\s(?:wget|curl|gcc|cc|nc|ncat|netcat|perl|python\d?|php|ruby|bash)$"),
         ("whoami", "config", "uname", "netstat", "sys", "printenv", "tasklist", "pwd", "lsb_",
          "hostname", "nslookup", "net ", "which ")),
        (_TARGET, (r"\bnetsh\s(?:adv)?firewall\b|\breg\s(?:add|query|delete)\s"
         r"|\bnet\s(?:user|localgroup)\s\S"), ("netsh", "reg ", "net ")),
        (_SHELL, r"\b(?:un)?set\s{1,3}HISTFILE", ("histfile",)),
    ),
    "/": (
        (_TARGET, rf"{_READS}[./\\]{{0,9}}(?:etc/(?:passwd|shadow|group|hosts|issue)|proc/)",
         ("etc/", "proc/")),
        (_TARGET, r"/dev/(?:tcp|udp)/|\bmkfifo\s+/", ("/dev/", "mkfifo")),
        (_TARGET, r"cmd(?:\.exe)?\s*/[ck]\b", ("cmd",)),
        (_TARGET, r"/bin/(?:ba|z|k|c)?sh\s+-[ci]", ("bin/",)),
        (_TARGET, _LINE + r"[;|&]\s*(?:/\w{1,20}){0,3}/s?bin/[\w?*]+", ("bin/",)),
        (_TARGET, r"/[?*]{1,3}[\w?*]{0,20}/[\w?*]{0,20}[?*][\w?*]{0,20}\s", ("/?", "/*")),
        (_SHELL, r"\bfor\s{1,3}/[fl]\s|\bset\s/[ap]\s\S", ("for /", "set /")),
        (_SHELL, r">\s{0,3}/dev/null\s{0,3}2>&1\s{0,3}[;&|]?\s{0,3}$", ("/dev/null",)),
    ),
    ".": ((_TARGET, rf"{_READS}[./\\]{{0,9}}boot\.ini", ("boot.ini",)),),
    "\\": ((_TARGET, rf"{_READS}c:\\", ("c:\\",)),),
    "-": (
        (_TARGET, _LINE + r"\brm\s+-rf?\s+[/*~]", ("rm ",)),
        (_TARGET, r"\bnc\s+-\w{0,9}e\b|bash\s+-i\b", ("nc ", "bash ")),
        (_TARGET, r"powershell(?:\.exe)?\s+-\w*(?:enc|c|nop|w|ep|exec|input)", ("powershell",)),
        (_SHELL, r"base64\s{1,3}(?:-d|--decode)|xxd\s-r", ("base64 ", "xxd ")),
        (_SHELL, r"\bnew-object\s{1,3}(?:system\.)?net\.|-encodedcommand\s",
         ("new-object", "-encodedcommand")),
    ),
    "|": (
        (_TARGET, r"(?:wget|curl)\s[^|;\n]{1,40}[|]\s*(?:ba|z)?sh\b", ("curl ", "wget ")),
        (_SHELL, r"\|\s{0,3}(?:ba|z|k|da|c)?sh(?:\s{0,3}$|\s-|[;&|`)])", ("sh",)),
    ),
    ";": (
        (_TARGET, r"(?:wget|curl)\s[^|;\n]{1,40};\s*(?:ba|z)?sh\b", ("curl ", "wget ")),
        (_SHELL, r"^[^\n;]{0,200};\s{0,3}(?:then|do)\s[^\n]{1,400};\s{0,3}(?:fi|done)\b",
         ("; fi", ";fi", "; done", ";done")),
    ),
    "$": (
        (_SHELL, r"\$\(\(\s{0,3}\d{1,9}\s{0,3}[-+*/%]\s{0,3}\d{1,9}\s{0,3}\)\)", ("$((",)),
        (_SHELL, r"\$'[^'\n]{0,60}\\(?:x[0-9a-f]{2}|[0-7]{3})", ("$'",)),
        (_SHELL, r"\$\{\w{2,30}:\d{1,3}:\d{1,3}\}", ("${",)),
        (_SHELL, (r"(?:^\W{0,3}|[;|&\n]\s{0,3})(?:\w{1,20}=[^\s;|&]{1,60}[;|&]{1,2}\s{0,3}){1,4}"
         r"\$\{?\w"), ("=",)),
        (_CODE, r"\$\{\s*(?:jndi|env|sys|lower|upper|::-)\s*[:}]|\{\$\{|\$\{@[\w(]|;\s?\{\$_",
         ("${", "{$")),
    ),
    "%": (
        (_SHELL, r"%\w{2,30}:~-?\d{1,3},-?\d{1,3}%", (":~",)),
        (_TARGET, r"^\W{0,4}%comspec%", ("comspec",)),
    ),
    "<": (
        (_SHELL, r"(?<!<)<<<\s{0,3}[\"'$\w]", ("<<<",)),
        (_CODE, (r"<\?(?:php\s+|=?\s{0,9})(?:[@$/#]|(?:echo|print|system|eval|exec|passthru|phpinfo"
         r"|include|require|if|die|shell_exec|assert|file_\w{1,20})\s?[($\"'`])"), ("<?",)),
    ),
    "#": ((_TARGET, r"#exec\s+cmd", ("#exec",)),),
    "[": (
        (_SHELL, r"^[^\n]{0,80}[;|&]\s{0,3}(?:if|while)\s{1,3}\[{1,2}\s", ("if [", "while [")),
    ),
    "`": ((_CODE, r"^\W{0,4}print\s?\(?\s?`|\bprint\s?\(\s?`", ("print",)),),
    "(": (
        (_TARGET, r"\(\)\s{0,9}+\{\s{0,9}+:?[^}$]{0,10};?\s{0,9}+\}\s{0,9}+;", ("()",)),
        (_SHELL, r"\biex\s{0,3}\(|downloadstring\(", ("iex", "downloadstring")),
        (_CODE, (r"^\W{0,3}(?:system|shell_exec|passthru|popen|exec)"
         r"\([\"'][^\n]{1,100}[\"']\)\s?;?\W{0,3}$"
         r"|\b(?:system|shell_exec|passthru|popen|proc_open|pcntl_exec|exec|eval|assert"
         r"|preg_replace|call_user_func|execvp?|spawn)\s*\(\s*"
         r"(?:[\"'`]\s*(?:/|whoami|id\b|cat |ls|ping|sleep|uname|dir|cmd|curl|wget|echo|nc |net )"
         r"|\$_|base64_decode|chr\()|\b(?:system|passthru|shell_exec)\(\$"
         r"|@?(?:print|system|passthru|exec)\(md5\("),
         ("system", "exec", "passthru", "popen", "proc_open", "eval", "assert", "preg_replace",
          "call_user", "spawn", "print(md5")),
        (_CODE, (r"\b(?:phpinfo|phpversion|php_uname|get_current_user|posix_getuid)"
         r"\s*\(\s*\)"), ("phpinfo", "phpversion", "php_uname", "get_current", "posix_")),
        (_CODE, (r"__import__\s*\(\s*[\"']|\bos\.(?:system|popen|execv\w*)\s*\(\s*[\"']"
         r"|subprocess\.\w{1,30}\s*\(\s*[\[\"']"), ("__import__", "os.", "subprocess.")),
        (_CODE, r"getruntime\(\)\.exec|processbuilder\s*\(|child_process[\"'`]\s*\)\s*\.",
         ("getruntime", "processbuilder", "child_process")),
        (_CODE, r"[\"'`.;]\s?\.?print\s?\(", ("print",)),
        (_CODE, r"\bsleep\(\d{1,9}\)\s*[;#]\s*$", ("sleep(",)),
    ),
}  # fmt: skip
_TABLE = {
    sign: tuple(
        (rule, re.compile(pattern, re.IGNORECASE), needed) for rule, pattern, needed in rows
    )
    for sign, rows in _SHAPES.items()
}


def find_command(text: str) -> Iterator[Hit]:
    """Find command injection in one view of a text, in time linear in its length."""
    yield from _read(text)
    if mentions(text, _DISGUISED) or (mentions(text, "'\"") and _QUOTED.search(text)):
        shown = plain(text, _DISGUISE, _reveal)
        if shown.text != text:
            for hit in _read(shown.text):
                yield Hit(hit.rule, *shown.span(hit.start, hit.end))


def _reveal(match: re.Match[str]) -> str:
    return " " if match["blank"] else ""


def _read(text: str) -> Iterator[Hit]:
    lower = text.lower()
    for sign, shapes in _TABLE.items():
        if sign in text:
            for rule, pattern, needed in shapes:
                if mentions(lower, needed) and (match := pattern.search(text)):
                    yield Hit(rule, *match.span())
    yield from _whole(text)
    if mentions(lower, (";", "|", "&", "\n", "\r", "$(", "\\n", "\\r", "%0")):
        yield from _after_value(text)
    if mentions(text, ("`", "$(")):
        yield from _substituted(text)


def _program(text: str, at: int) -> int:
    """Return where the name of a program that is called at `at` ends, or -1 if none is."""
    if (match := _CALLED.match(text, at)) is None:
        return -1
    name, end = match[1].lower(), match.end()
    if match[1].isupper() and text.startswith(")", end):
        return -1  # a variable of a makefile
    if name not in _UNMISTAKABLE and name not in _AMBIGUOUS:
        name = name.rstrip("0123456789")
    if name in _UNMISTAKABLE:
        return -1 if _PROSE.match(text, end) else end
    if (name in _AMBIGUOUS or name.startswith(_CMDLETS)) and _ARGUMENT.match(text, end):
        return end
    if name in ("echo", "which", "export") and _ONE_WORD.match(text, end):
        return end
    return -1


def _whole(text: str) -> Iterator[Hit]:
    start = len(text) - len(text.lstrip())
    if (match := _CALLED.match(text, start)) is not None:
        name = match[1].lower()
        known = name in _UNMISTAKABLE or name.rstrip("0123456789") in _AMBIGUOUS
        if known and (rest := _ARGUMENTS.match(text, match.end())):
            yield Hit(_WHOLE, start, rest.end())
    if match := _BINARY.match(text):
        yield Hit(_WHOLE, *match.span())


def _after_value(text: str) -> Iterator[Hit]:
    # A text that begins with a line end is no message: each of its lines counts.
    lines = mentions(text.strip(), "\r\n") and not _LED.match(text)
    for count, match in enumerate(_SEPARATOR.finditer(text)):
        start, at = match.span()
        if count == 0 and len(text[:start].split(None, 2)) > 2:
            break  # a sentence
        if (end := _program(text, at)) >= 0 and not (
            # New lines are ordinary in messages: a last line has to say enough by itself.
            lines and text[start] in "\r\n" and not _is_last(text, end)
        ):
            yield Hit(_AFTER_VALUE, start, end)
            return
        if lines or count == 4:
            break
    if (led := _WRITTEN_OUT.match(text)) and (end := _program(text, led.end())) >= 0:
        yield Hit(_AFTER_VALUE, 0, end)


def _is_last(text: str, at: int) -> bool:
    called = _CALLED.search(text[:at], text.rfind("\n", 0, at) + 1)
    rest = text[at:].strip()
    return bool(called and called[1].lower() in _UNMISTAKABLE and not mentions(rest, "\r\n"))


def _substituted(text: str) -> Iterator[Hit]:
    if (match := _BACKTICK.match(text)) and _program(text, match.end()) >= 0:
        yield Hit(_BACKTICKS, match.end() - 1, len(text))
    for match in _OPENED.finditer(text):
        if not _LED.match(text) and (
            len(text[: match.start()].split(None, 4)) > 4 or "\n" in text.strip()
        ):
            return  # prose about programs
        if (end := _program(text, match.end())) >= 0:
            yield Hit(_SUBSTITUTION, match.start(), end)
            return
