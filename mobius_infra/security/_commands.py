r"""Command injection: does a value end and a program follow it, in a shell of any kind?

What hides a program from a search (`c""at`, `c\at`, `${IFS}`, `^`) is taken off first, since the
shell takes it off too. Programs whose names are words of English need an argument that is none.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, Hit, Rule, mentions


def _rule(what: str, why: str) -> Rule:
    return Rule(f"command.{what}", "command", CRITICAL, why)


_HIDDEN = re.compile(
    r"''|\"\"|``|\\(?=[a-z\n])|\$[@*]|\^(?=[a-z])|(?<=[a-z/])['\"](?=[a-z/])|\$\(\)", re.IGNORECASE
)
_BLANKS = re.compile(
    r"\$(?:\{IFS[^}]{0,20}\}|IFS(?:\$\d|\b))|%ProgramFiles:~10,-5%|(?<=[{\w]),(?=[-/\w]+\})"
)

# Not words of English: the name is enough after a separator.
_UNMISTAKABLE = (
    r"ls|whoami|wget|curl|nslookup|ifconfig|ipconfig|netstat|uname|bash|zsh|ksh|csh|chmod|chown"
    r"|powershell"
    r"|pwsh|cmd(?:\.exe)?|nc|ncat|netcat|telnet|systeminfo|tasklist|pwd|printenv|ipcs|wmic|certutil"
    r"|bitsadmin|mshta|regsvr32|rundll32|cscript|wscript|getent|lsof|dig|tcpdump|nmap|socat"
    r"|phpinfo|cat|id"
    r"|traceroute|tracert|passwd|useradd|adduser|sudo|mkdir|rmdir|lsb_release|dpkg|systemctl"
    r"|uptime|pkill"
    r"|crontab|hostname|dir|ps|grep|awk|sed|xxd|base64|tftp|scp|rm|mv|cp|ss|df|du|env|ipcalc|vim"
    r"|netsh|reg|arp|echo(?=\s+\S{1,40}\W{0,3}$)"
)
# Words, or names of languages: an argument must tell.
_AMBIGUOUS = (
    r"sleep|ping|echo|find|type|more|less|who|w|sh|last|head|tail|touch|kill|net|route|time|date"
    r"|python[\d.]*"
    r"|perl|ruby|php|node|lua|tee|sort|cut|finger|host|export|source|eval|exec|set|start|copy"
    r"|del|print|which"
    r"|xargs|tar|zip|reboot|shutdown|read|printf|test|mail|ftp|ssh|man|timeout|waitfor|jobs"
    r"|history|ver|vol"
)
_DIRECTORY = r"(?:[a-z]:)?(?:[/\\][\w.?*-]{1,20}){0,5}[/\\]"
_ARGUMENT = (
    r"(?:\s++(?:[-+/\\$\"'`~.*>|{]|\d|https?:|%|c:|user\b|[\w.-]{1,40}\.[a-z]{2,6}\b"
    r"|(?:stop|view|localgroup)\b)|[<>|&;`)#]|/|$|\s*+$)"
)
_PROGRAM = (
    rf"[\"'({{]?(?:{_DIRECTORY})?(?:(?:{_UNMISTAKABLE})(?:\.exe)?(?![\w:=.-]"
    rf"|\s+[a-z]+(?:\s+[a-z]{{2,}}){{2}})"
    rf"|(?:{_AMBIGUOUS})(?:\.exe)?(?:{_ARGUMENT}))"
)
_AFTER_VALUE = re.compile(
    rf"^[^\S\r\n]*+(?:[^\s;|&`$]{{1,60}}+[^\S\r\n]?+){{0,2}}+(?:[;|&\n\r]|\$\(){{1,4}}+"
    rf"[\s({{!;|&\r\n@]{{0,8}}{_PROGRAM}|^\W{{0,3}}?\\[nr]\s?{_PROGRAM}",
    re.IGNORECASE,
)
_BACKTICKS = re.compile(
    rf"^(?![^`]{{0,60}}```)(?:[^\s`]{{0,60}}|[^\s`]{{0,60}}\s?[;|&]\s?)`{{1,2}}\s?{_PROGRAM}[^`]{{0,400}}`\W{{0,20}}$",
    re.IGNORECASE,
)
_SUBSTITUTION = re.compile(rf"\$\(\s{{0,4}}`?{_PROGRAM}|(?:[;|&(]\s?`\s?|=`){_PROGRAM}", re.IGNORECASE)
_WHOLE = re.compile(
    rf"^\s*(?:{_DIRECTORY}(?:s?bin|system32)?[/\\]?)?(?:{_UNMISTAKABLE}|{_AMBIGUOUS})(?:\.exe)?"
    r"(?:\s+(?:-{1,2}\w[\w=-]{0,20}|/[a-z]\b|[/~.][\w./*?~-]{0,200}|'[^']{0,200}'"
    r"|\"[^\"]{0,200}\"|https?://\S{1,200}"
    r"|[a-z]:[\\/]\S{0,200}|%\w{1,30}%\S{0,100}"
    r"|\d+(?:\.\d+){3}|\d+|localhost))+\s*[;&|]?$"
    rf"|^[/\\](?:usr[/\\](?:local[/\\])?)?s?bin[/\\][\w.?*-]{{1,20}}(?:\s+[-/]|$)",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"^\W{0,2}(?:whoami|ifconfig|ipconfig|uname|netstat|systeminfo|sysinfo|printenv"
    r"|tasklist)\W{0,2}$",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"\bnetsh\s(?:adv)?firewall\b|\breg\s(?:add|query|delete)\s|\bnet\s(?:user|localgroup)\s\S"
    r"|(?:^|[;|&`(\s'\"/])(?:cat|more|less|head|tail|type|tac|nl|od|vi|cp"
    r"|grep\s\S{1,20})\s*+[<\s\"']\s*+[./\\]*(?:etc/(?:passwd|shadow|group|hosts|issue)"
    r"|proc/|boot\.ini|c:\\)|rm\s+-rf?\s+[/*~]|\bnc\s+-\w*e\b|/dev/(?:tcp|udp)/|(?:wget"
    r"|curl)\s[^|;]{1,200}[|;]\s*(?:ba|z)?sh\b"
    r"|\(\)\s*\{\s*:?[^}$]{0,10};?\s*\}\s*;|#exec\s+cmd|cmd(?:\.exe)?\s*/[ck]\b"
    r"|powershell(?:\.exe)?\s+-\w*(?:enc|c|nop|w|ep|exec)"
    r"|/bin/(?:ba|z|k|c)?sh\s+-[ci]|[;|&]\s*(?:/\w{1,20}){0,3}/s?bin/[\w?*]+"
    r"|/[?*]{1,3}[\w?*]*/[\w?*]*[?*][\w?*]*\s|bash\s+-i\b|\bmkfifo\s+/",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"^\W{0,3}(?:system|shell_exec|passthru|popen|exec)\([\"'][^\n]{1,100}[\"']\)\s?;?\W{0,3}$"
    r"|\b(?:system|shell_exec|passthru|popen|proc_open|pcntl_exec|exec|eval|assert|preg_replace"
    r"|call_user_func|execvp?|spawn)\s*\(\s*"
    r"(?:[\"'`]\s*(?:/|whoami|id\b|cat |ls|ping|sleep|uname|dir|cmd|curl|wget|echo|nc |net )|\$_"
    r"|base64_decode|chr\()"
    r"|\bphpinfo\s*\(\s*\)|<\?(?:php\s+|=?\s{0,9})(?:[@$/#]|(?:echo|print|system|eval|exec|passthru|phpinfo|include|require|if|die|shell_exec|assert|file_\w{1,20})\s?[($\"'`])|__import__\s*\(\s*[\"']|\bos\.(?:system|popen"
    r"|execv\w*)\s*\(\s*[\"']|subprocess\.\w+\s*\(\s*[\[\"']"
    r"|getruntime\(\)\.exec|processbuilder\s*\(|child_process[\"'`]\s*\)\s*\.|\$\{\s*(?:jndi|env"
    r"|sys|lower|upper|::-)\s*[:}]|\{\$\{|\$\{@[\w(]"
    r"|\b(?:system|passthru|shell_exec)\(\$|print\(\s*`|@?(?:print|system|passthru|exec)\(md5\("
    r"|sleep\(\d+\)\s*[;#]\s*$",
    re.IGNORECASE,
)
# By rule: what it cannot do without, in lower case.
_TABLE: tuple[tuple[Rule, re.Pattern[str], tuple[str, ...]], ...] = (
    (_rule("after-value", "a value, a separator and a program"), _AFTER_VALUE,
     (";", "|", "&", "\n", "\r", "$(", "\\n", "\\r")),
    (_rule("backticks", "a program in backticks"), _BACKTICKS, ("`",)),
    (_rule("substitution", "a program whose output is put in"), _SUBSTITUTION, ("$(", "`")),
    (_rule("whole", "a command line and nothing else"), _WHOLE, (" ", "/", "\\")),
    (_rule("alone", "the name of a program that tells of the machine"), _ALONE,
     ("whoami", "config", "uname", "netstat", "sys", "printenv", "tasklist")),
    (_rule("target", "what only an attack runs"), _TARGET,
     ("etc/", "netsh", "reg ", "net ", "boot.ini", "proc/", "c:\\", "rm ", "nc ", "/dev/",
      "wget", "curl", "()", "#exec",
      "cmd", "powershell", "bin/", "/?", "/*", "bash", "mkfifo")),
    (_rule("code", "a call that runs a program or code"), _CODE,
     ("system", "exec", "passthru", "popen", "proc_open", "eval", "assert", "preg_replace",
      "call_user", "spawn", "phpinfo", "<?", "__import__", "subprocess", "processbuilder",
      "child_process", "${", "{$", "print(", "sleep(")),
)  # fmt: skip


def find_command(text: str) -> Iterator[Hit]:
    """Find command injection in one view of a text, in time linear in its length."""
    plain = text
    if mentions(text, "'\"`\\$^{"):
        plain = _HIDDEN.sub("", _BLANKS.sub(" ", text))
    for reading in (text,) if plain == text else (text, plain):
        lower = reading.lower()
        for rule, pattern, needed in _TABLE:
            if mentions(lower, needed) and (match := pattern.search(reading)):
                yield Hit(rule, *match.span())
