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
    r"|netsh|arp|gcc|whereis|ncat|nohup|busybox|openssl|[gmn]awk|mysql|psql|redis-cli|docker"
    r"|kubectl|apt(?:-get)?|yum|apk|pip3?|npm|rsync|sftp|ssh-keygen|dmesg|lscpu|lspci|lsblk|nproc"
    r"|vmstat|iostat|iptables|sysctl|mknod|mkfifo|uniq|wc|nl|od|hexdump|tac|rev|xz|gzip|gunzip"
    r"|bunzip2|chroot|chattr|chsh|usermod|groupadd|visudo|dnsdomainname|domainname|ifup|ip|vi"
    r"|qwinsta|quser|schtasks|wevtutil|sc\.exe|icacls|attrib|taskkill|driverquery|gpresult|nbtstat"
    r"|pathping|getmac|vssadmin|bcdedit|winrm|diskpart|msiexec|installutil|forfiles|findstr|xcopy"
    r"|robocopy|sysinfo|phpversion|iex|gci|gwmi|irb|sendmail|lp|cal|groups(?=\W{0,3}$)"
    r"|reg(?=\s+(?:add|query|delete))|echo(?=\s+\S{1,40}\W{0,3}$)"
)
# Words, or names of languages: an argument must tell.
_AMBIGUOUS = (
    r"sleep|ping|echo|find|type|more|less|who|w|sh|last|head|tail|touch|kill|net|route|time|date"
    r"|python[\d.]*"
    r"|perl|ruby|php|node|lua|tee|sort|cut|finger|host|export|source|eval|exec|set|start|copy"
    r"|del|print|which"
    r"|xargs|tar|zip|reboot|shutdown|read|printf|test|mail|ftp|ssh|man|timeout|waitfor|jobs"
    r"|history|ver|vol|which|users|env|expr|seq|yes|watch|make|git|split|file|stat|locate|alias"
    r"|unset|join|paste|free|top|arch|nslookup|service|mount|dd|diff|comm|fold|look|trap|wait|dir"
    r"|logname|groups|last(?:log)?|id|pg|ed|ex|view|emacs|nano|strings|mysqldump|gdb|strace|install"
    r"|start-sleep|invoke-\w{3,20}|get-\w{3,20}|new-object|write-\w{3,20}|out-\w{3,20}|set-\w{3,20}"
    r"|true|false|rundll|call|for|if"
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
_VALUE = r"^[^\S\r\n]*+(?:[^\s;|&`]{1,60}+[^\S\r\n]?+){0,2}?"
_AFTER_VALUE = re.compile(
    rf"{_VALUE}(?:[;|&]|\$\(|%0[ad]){{1,4}}+[\s+({{!;|&$@,]{{0,8}}{_PROGRAM}"
    # New lines are ordinary in messages: one only counts before a last line that says enough.
    rf"|{_VALUE}[\r\n]{{1,4}}[\s({{!;|&]{{0,8}}(?:{_DIRECTORY})?(?:{_UNMISTAKABLE})(?![\w:=.-])"
    rf"[^\r\n]{{0,200}}[\r\n]{{0,2}}$"
    rf"|^\W{{0,3}}?\\[nr]\s?{_PROGRAM}",
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
# What only a shell reads: substitution and arithmetic, pieces of variables, quotes with escapes, its loops.
_SHELL = re.compile(
    r"\$\(\(\s{0,3}\d{1,9}\s{0,3}[-+*/%]\s{0,3}\d{1,9}\s{0,3}\)\)|\$'[^'\n]{0,60}\\(?:x[0-9a-f]{2}|[0-7]{3})"
    r"|\$\{\w{2,30}:\d{1,3}:\d{1,3}\}|%\w{2,30}:~-?\d{1,3},-?\d{1,3}%|<<<\s{0,3}[\"'$\w]"
    r"|base64\s{1,3}(?:-d|--decode)|xxd\s-r|\|\s{0,3}(?:ba|z|k|da|c)?sh(?:\s{0,3}$|\s-|[;&|`)])"
    r"|[;|&\n]\s{0,3}\w{1,20}=[^\s;|&]{1,60}[;|&]{1,2}\s{0,3}(?:\w{1,20}=[^\s;|&]{1,60}[;|&]{1,2}\s{0,3}){0,4}\$\{?\w"
    r"|^\W{0,3}\w{1,20}=[^\s;|&]{1,60}[;|&]{1,2}\s{0,3}(?:\w{1,20}=[^\s;|&]{1,60}[;|&]{1,2}\s{0,3}){0,4}\$\{?\w"
    r"|^[^\n]{0,400};\s{0,3}(?:then|do)\s[^\n]{1,400};\s{0,3}(?:fi|done)\b"
    r"|\bfor\s{1,3}/[fl]\s|\bset\s/[ap]\s\S|^[^\n]{0,80}[;|&]\s{0,3}(?:if|while)\s{1,3}\[{1,2}\s"
    r"|\biex\s{0,3}\(|\bnew-object\s{1,3}(?:system\.)?net\.|downloadstring\(|-encodedcommand\s"
    r"|\b(?:un)?set\s{1,3}HISTFILE|>\s{0,3}/dev/null\s{0,3}2>&1\s{0,3}[;&|]?\s{0,3}$",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"^\W{0,2}(?:whoami|ifconfig|ipconfig|uname|netstat|systeminfo|sysinfo|printenv|tasklist|pwd"
    r"|lsb_release|hostname|nslookup)\W{0,2}$|^net\s(?:view|user|share|start|use|config|accounts"
    r"|localgroup)\s?$|^which\s(?:wget|curl|gcc|cc|nc|ncat|netcat|perl|python\d?|php|ruby|bash)$",
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
    r"|\b(?:phpinfo|phpversion|php_uname|getcwd|get_current_user|posix_getuid)\s*\(\s*\)|<\?(?:php\s+|=?\s{0,9})(?:[@$/#]|(?:echo|print|system|eval|exec|passthru|phpinfo|include|require|if|die|shell_exec|assert|file_\w{1,20})\s?[($\"'`])|__import__\s*\(\s*[\"']|\bos\.(?:system|popen"
    r"|execv\w*)\s*\(\s*[\"']|subprocess\.\w+\s*\(\s*[\[\"']"
    r"|getruntime\(\)\.exec|processbuilder\s*\(|child_process[\"'`]\s*\)\s*\.|\$\{\s*(?:jndi|env"
    r"|sys|lower|upper|::-)\s*[:}]|\{\$\{|\$\{@[\w(]"
    r"|\b(?:system|passthru|shell_exec)\(\$|\bprint\s?\(?\s?`|[\"'`.;]\s?\.?print\s?\(|@?(?:print|system|passthru|exec)\(md5\("
    r"|sleep\(\d+\)\s*[;#]\s*$",
    re.IGNORECASE,
)
# By rule: what it cannot do without, in lower case.
_TABLE: tuple[tuple[Rule, re.Pattern[str], tuple[str, ...]], ...] = (
    (_rule("after-value", "a value, a separator and a program"), _AFTER_VALUE,
     (";", "|", "&", "\n", "\r", "$(", "\\n", "\\r", "%0")),
    (_rule("backticks", "a program in backticks"), _BACKTICKS, ("`",)),
    (_rule("substitution", "a program whose output is put in"), _SUBSTITUTION, ("$(", "`")),
    (_rule("whole", "a command line and nothing else"), _WHOLE, (" ", "/", "\\")),
    (_rule("shell", "what only a shell understands"), _SHELL,
     ("$((", "$'", "${", "%", "<<<", "base64", "xxd", "|", "=", "then", "do", "for", "set", "if",
      "while", "iex", "new-object", "downloadstring", "-encodedcommand", "/dev/null")),
    (_rule("alone", "the name of a program that tells of the machine"), _ALONE,
     ("whoami", "config", "uname", "netstat", "sys", "printenv", "tasklist", "pwd", "lsb_", "hostname",
      "nslookup", "net ", "which ")),
    (_rule("target", "what only an attack runs"), _TARGET,
     ("etc/", "netsh", "reg ", "net ", "boot.ini", "proc/", "c:\\", "rm ", "nc ", "/dev/",
      "wget", "curl", "()", "#exec",
      "cmd", "powershell", "bin/", "/?", "/*", "bash", "mkfifo")),
    (_rule("code", "a call that runs a program or code"), _CODE,
     ("system", "exec", "passthru", "popen", "proc_open", "eval", "assert", "preg_replace",
      "call_user", "spawn", "php", "getcwd", "get_current", "posix_", "print", "<?", "__import__", "subprocess", "processbuilder",
      "child_process", "${", "{$", "sleep(")),
)  # fmt: skip


def find_command(text: str) -> Iterator[Hit]:
    """Find command injection in one view of a text, in time linear in its length."""
    yield from _read(text)
    if mentions(text, "'\"`\\$^{"):
        shown = plain(text, _DISGUISE, _reveal)
        if shown.text != text:
            for hit in _read(shown.text):
                yield Hit(hit.rule, *shown.span(hit.start, hit.end))


def _reveal(match: re.Match[str]) -> str:
    return " " if match["blank"] else ""


def _read(text: str) -> Iterator[Hit]:
    lower = text.lower()
    for rule, pattern, needed in _TABLE:
        if mentions(lower, needed) and (match := pattern.search(text)):
            yield Hit(rule, *match.span())
