"""Text as the leak check compares it: folded, in words; and words that identify nobody by themselves."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_LETTERS = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i", "ħ": "h",
    **{chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)},
})  # fmt: skip
"""Letters without a decomposition; katakana as hiragana."""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_WORD = re.compile(r"[^\W\d_]+|\d+")
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\uff66-\uff9f\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")
"""Thai, kana, Han, Hangul: scripts in which a name need not stand between blanks."""
SHORTEST = 4
"""Letters of a word that may identify by itself."""
COMMON = frozenset(
    """
    abdomen acquired adult after anatomy ankle anonym anonymised anonymized anonymous ante anterior aorta apex april
    arch arterial artery august axial back base before best bile black blade blood blue body bone born both bowel
    brain breast bright bronze brown bush calf cardiac care carpal case cast center central centre cervical chest
    child christmas city clinic clinical close coil cold colon company complete contrast coronal corp cross daily
    data date december deep default delay demo department dept device diffusion digital disc doctor dose dual duct
    early east eight elbow ellipse emergency empty endo english even exam example face fair fast february female
    fetal field film final fine first five flair flash flow foot force format four frame free french friday front
    full function general german good gray green grey group half hand hard head heart heel here high hill hips hope
    hospital hour house image images imaging index infant initial inner institute inter joint july june junior
    kidney king knee label lake lateral lava left legs lens less level light lima limb line liver local long love
    lower lumbar lung magnetic main male march mark marker mask mass mean medical medicine medium mental method
    middle mild minor missing modality mode model monday mother motion multi name named native natural neck negative
    neuro nine node noise none normal north nose null number object oblique office only open orbit order other outer
    oval paediatric page pale palm para park part patient pediatric pelvis penny person phantom phase physician
    pilot plain plan plane plate point polar post posterior power private probe procedure profile proton public
    pulse quick radiology rapid rear records redacted reed reference removed report research resonance rest retro
    rich right ring rock room rose round routine ruby sagittal sample samples saturday scan scanner scout screen
    second section senior series service seven shape sharp shield shift short shoulder side signal silver simple
    single sinus site skin skull slice slim slow small soft sound source south spin spine spiral spring square
    standard start state static station stem stern stone street strong study sub summer sunday supine survey swift
    system table target temple temporal test tested tester testing text thick thin third thorax three thursday time
    tiny tissue title total tower trans transverse trial true tube tuesday type ultrasound unit university unknown
    upper user value valve vein venous vent view vision volume wall water wave wednesday weight west white whole
    wide winter wise without wood work world wrist xray year young zero zone
    """.split()
)
"""Words of reports, protocols and calendars that are also names, and words that stand for no name."""


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Text without case, width, diacritics and the kind of kana: what spellings of one name have in common."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKC", text).casefold()
    letters = unicodedata.normalize("NFD", plain)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare).translate(_LETTERS)


def spellings(text: str) -> set[str]:
    """The folded forms in which a text may be written: `Müller` as muller and mueller, `Mueller` also as muller."""
    plain = folded(text)
    spelled = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()).translate(_UMLAUTS)
    collapsed = plain.replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return {plain, folded(spelled), collapsed if len(collapsed) >= SHORTEST else plain}


def words_of(text: str) -> tuple[str, ...]:
    """The words of a folded text: runs of letters, and runs of digits."""
    return tuple(_WORD.findall(text))


def is_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no blanks between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def is_telling(word: str) -> bool:
    """Whether a folded word may identify by itself."""
    return len(word) >= SHORTEST and not word.isdigit() and word not in COMMON and word.rstrip("s") not in COMMON
