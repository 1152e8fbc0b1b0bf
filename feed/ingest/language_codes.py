"""Reads a language as feeds name it: by a code of two or three letters, or by its name."""

from __future__ import annotations

import re

_LANGUAGES = """
af afr afrikaans
ar ara arabic العربية
az aze azerbaijani azərbaycanca
be bel belarusian беларуская
bg bul bulgarian български
bn ben bengali বাংলা
bs bos bosnian bosanski
ca cat catalan català
cs ces cze czech čeština
cy cym wel welsh cymraeg
da dan danish dansk
de deu ger german deutsch
el ell gre greek ελληνικά
en eng english
es spa spanish español castellano
et est estonian eesti
eu eus baq basque euskara
fa fas per persian farsi فارسی
fi fin finnish suomi
fr fra fre french français
ga gle irish gaeilge
gl glg galician galego
gu guj gujarati ગુજરાતી
he heb hebrew עברית
hi hin hindi हिन्दी
hr hrv croatian hrvatski
hu hun hungarian magyar
hy hye arm armenian հայերեն
id ind indonesian
is isl ice icelandic íslenska
it ita italian italiano
ja jpn japanese 日本語
ka kat geo georgian ქართული
kk kaz kazakh қазақша
kn kan kannada ಕನ್ನಡ
ko kor korean 한국어
lt lit lithuanian lietuvių
lv lav latvian latviešu
mk mkd mac macedonian македонски
ml mal malayalam മലയാളം
mr mar marathi मराठी
ms msa may malay
ne nep nepali नेपाली
nl nld dut dutch nederlands flemish
no nor norwegian norsk
pa pan punjabi ਪੰਜਾਬੀ
pl pol polish polski
pt por portuguese português
ro ron rum romanian română
ru rus russian русский
sk slk slo slovak slovenčina
sl slv slovenian slovene slovenščina
sq sqi alb albanian shqip
sr srp serbian српски srpski
sv swe swedish svenska
sw swa swahili kiswahili
ta tam tamil தமிழ்
te tel telugu తెలుగు
th tha thai ไทย
tl tgl tagalog filipino
tr tur turkish türkçe
uk ukr ukrainian українська
ur urd urdu اردو
uz uzb uzbek
vi vie vietnamese
zh zho chi chinese 中文
"""
_CODES = {name: line.split()[0] for line in _LANGUAGES.split("\n") for name in line.split()[1:]}
"""The shortest code by longer ones (ISO 639-2) and by names, in English and in the language."""
_PARTS = re.compile(r"[\s_()-]+")
_CODE = re.compile(r"[a-z]{2,3}")
_SUBTAG = re.compile(r"[a-z]{2}|[0-9]{3}|[a-z]{4}")
"""A region or a script."""
NO_LANGUAGE = {"und", "mul", "zxx", "mis"}
"""Codes that say that no one language is known."""


def language_tag(text: str) -> str:
    """Return a tag such as `en-gb` for `en_GB`, `eng-GB` or `English (GB)`.

    A tag begins with the shortest code of its language (RFC 5646, section 2.2.1), and keeps its
    region and script. What begins with a word that is neither a known name nor of two or three
    letters becomes an empty text, as does a code that says that no one language is known.
    """
    first, *others = _PARTS.split(text.strip().lower().rstrip(")"))
    code = _CODES.get(first, first)
    if code in NO_LANGUAGE or not _CODE.fullmatch(code):
        return ""
    return "-".join([code, *filter(_SUBTAG.fullmatch, others)])
