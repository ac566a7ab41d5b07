"""What is asked of those who decide: a listening hour for schools, won, and a quiet hour at work, lost."""

from datetime import date, timedelta
from random import Random
from typing import Any, Final

from api.demo.script import FIELD, Person, Script, day_after, noon

SCHOOLS: Final = "hora-de-escuta"
WORK: Final = "the-uninterrupted-hour"
CAMPUS: Final = "escucha-en-el-aula"

OFFICIALS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("vereadora-sampaio", {"name": "Marta Sampaio", "office": "Vereadora da Educação", "jurisdiction": "Lisboa"}),
    ("deputado-reis", {"name": "Álvaro Reis", "office": "Comissão de Educação", "jurisdiction": "Lisboa"}),
    ("diretora-falcao", {"name": "Helena Falcão", "office": "Conselho das Escolas", "jurisdiction": "Lisboa"}),
    (
        "cllr-braithwaite",
        {"name": "Janet Braithwaite", "office": "Executive Member for Employment", "jurisdiction": "Manchester"},
    ),
    ("cllr-dunmore", {"name": "Keith Dunmore", "office": "Chair, Employers' Forum", "jurisdiction": "Manchester"}),
    ("diputada-aranda", {"name": "Silvia Aranda", "office": "Comisión de Educación", "jurisdiction": "Madrid"}),
)
TARGETS: Final = {
    SCHOOLS: ("vereadora-sampaio", "deputado-reis", "diretora-falcao"),
    WORK: ("cllr-braithwaite", "cllr-dunmore"),
    CAMPUS: ("diputada-aranda",),
}
POLICIES: Final[tuple[tuple[str, date, dict[str, str]], ...]] = (
    (
        SCHOOLS,
        date(2026, 1, 19),
        {
            "title": "Uma hora de escuta por semana nas escolas de Lisboa",
            "kind": "curriculum",
            "jurisdiction": "Lisboa",
            "stage": "proposta",
            "ask": "Uma hora por semana em que as turmas praticam ouvir, do 5.º ao 9.º ano, a partir de setembro.",
        },
    ),
    (
        WORK,
        date(2026, 2, 16),
        {
            "title": "The uninterrupted hour in Manchester's fair work charter",
            "kind": "workplace",
            "jurisdiction": "Manchester",
            "stage": "consultation",
            "ask": "One hour a week without meetings, in which staff and managers talk one to one.",
        },
    ),
    (
        CAMPUS,
        date(2026, 4, 27),
        {
            "title": "Escucha activa en la formación del profesorado",
            "kind": "curriculum",
            "jurisdiction": "Madrid",
            "stage": "borrador",
            "ask": "Veinte horas de escucha en la formación inicial del profesorado.",
        },
    ),
)
STAGES: Final = (
    (SCHOOLS, "comissão", date(2026, 2, 24)),
    (SCHOOLS, "audição pública", date(2026, 4, 14)),
    (SCHOOLS, "votação", date(2026, 5, 26)),
    (WORK, "employers' forum", date(2026, 3, 30)),
    (WORK, "vote", date(2026, 5, 18)),
    (CAMPUS, "comisión", date(2026, 6, 9)),
)
POSITIONS: Final = (
    (
        SCHOOLS,
        "vereadora-sampaio",
        "leans_support",
        date(2026, 2, 3),
        "Visitou a escola da Ajuda e ficou para a hora toda.",
    ),
    (SCHOOLS, "deputado-reis", "opposes", date(2026, 2, 10), "“O horário está cheio.” Entrevista à rádio local."),
    (SCHOOLS, "diretora-falcao", "undecided", date(2026, 2, 12), "Quer ver quem dará as aulas."),
    (SCHOOLS, "diretora-falcao", "supports", date(2026, 4, 15), "Depoimento na audição pública."),
    (SCHOOLS, "deputado-reis", "undecided", date(2026, 4, 29), "Depois de ouvir uma turma do 7.º ano."),
    (SCHOOLS, "vereadora-sampaio", "supports", date(2026, 5, 4), "Nota à imprensa."),
    (SCHOOLS, "deputado-reis", "leans_support", date(2026, 5, 20), "Disse-o à porta da comissão."),
    (WORK, "cllr-braithwaite", "supports", date(2026, 3, 3), "Letter to the campaign, 2 March."),
    (WORK, "cllr-dunmore", "leans_oppose", date(2026, 3, 9), "Asks who pays for the hour."),
    (WORK, "cllr-dunmore", "opposes", date(2026, 4, 28), "Speech to the forum: “a good habit, not a rule”."),
    (CAMPUS, "diputada-aranda", "leans_support", date(2026, 5, 11), "Reunión en su despacho."),
)
ENDS: Final = {SCHOOLS: ("won", date(2026, 6, 12)), WORK: ("lost", date(2026, 5, 27))}

LANGUAGES: Final = {SCHOOLS: "pt", WORK: "en", CAMPUS: "es"}
KINDS: Final = ("letter", "letter", "letter", "call", "call", "meeting", "testimony", "comment", "op_ed", "social_post")
MINUTES: Final = {
    "letter": 40,
    "call": 10,
    "meeting": 60,
    "testimony": 90,
    "comment": 15,
    "op_ed": 180,
    "social_post": 5,
}
TOLD: Final = {
    "pt": (
        "Contei o caso da minha turma.",
        "Falou mais do que eu, e ainda bem.",
        "Pediram números; levo-os na quinta-feira.",
    ),
    "en": (
        "I told them about our Thursday lunches.",
        "They asked who pays. A fair question.",
        "Ten minutes, and one good question.",
    ),
    "es": ("Conté lo de mi instituto.", "Escuchó, y tomó notas.", "Me pidieron un ejemplo. Llevé tres."),
}
ANSWERS: Final = {
    "pt": (
        "Agradeceu e pediu uma visita à escola.",
        "Respondeu que lê todas as cartas.",
        "Vai levar a pergunta à comissão.",
    ),
    "en": (
        "Thanked us; will raise it with the forum.",
        "A printed card, but signed by hand.",
        "Called back the same evening.",
    ),
    "es": ("Agradece y pide más datos.", "Propone una reunión en junio.", "Dice que lo hablará con su grupo."),
}
DOUBTS: Final = (
    "The same letter was logged twice.",
    "The office has no record of this call.",
    "This was a private conversation, not an action for the policy.",
)


def policies(script: Script) -> None:
    """Follow three policies through their stages, with the positions of those who decide."""
    for number, (official, data) in enumerate(OFFICIALS):
        script.add("officials.register", noon(1, 15, 9, number), FIELD, official=official, **data)
    for policy, day, data in POLICIES:
        tracked = noon(day.month, day.day, 9)
        script.add("policies.track", tracked, FIELD, policy=policy, **data)
        for number, official in enumerate(TARGETS[policy], start=1):
            at = tracked + timedelta(minutes=number)
            script.add("policies.add_target", at, FIELD, policy=policy, official=official)
    for policy, stage, day in STAGES:
        at = noon(day.month, day.day, 16)
        script.add("policies.advance", at, FIELD, policy=policy, stage=stage, on=day.isoformat())
    for policy, official, stance, day, evidence in POSITIONS:
        data = {"policy": policy, "official": official, "stance": stance, "evidence": evidence}
        script.add("policies.record_position", noon(day.month, day.day, 18), FIELD, **data)
    for policy, (outcome, day) in ENDS.items():
        data = {"policy": policy, "outcome": outcome, "on": day.isoformat()}
        script.add("policies.conclude", noon(day.month, day.day, 20), FIELD, **data)
    script.add("officials.retire", noon(6, 22), FIELD, "Left the forum after the vote.", official="cllr-dunmore")


def actions(script: Script) -> None:
    """Let advocates write, call, meet and testify; most of it is verified, some is not, some is answered."""
    dice = script.dice("actions")
    for policy, begins, _ in POLICIES:
        speakers = [p for p in script.people if p.language == LANGUAGES[policy] and p.leaves_at is None]
        steady = speakers[:2]
        others = [p for p in speakers[2:] if dice.random() < 0.22]
        _, ends = ENDS.get(policy, ("", date(2026, 6, 28)))
        for person in (*steady, *others):
            times = 18 if person in steady and policy != CAMPUS else dice.choice((1, 1, 2, 3))
            for number in range(times):
                first = max(begins, day_after(person.since.date(), 1))
                span = (ends - first).days - 4
                if span > 1:
                    day = day_after(first, dice.randint(1, span))
                    _act(script, dice, person, policy, f"{policy}/{person.reference}/{number + 1}", day)


def _act(script: Script, dice: Random, person: Person, policy: str, action: str, day: date) -> None:
    kind = dice.choice(KINDS)
    logged = person.at(day, dice.uniform(9, 22))
    language = LANGUAGES[policy]
    data: dict[str, Any] = {
        "action": action,
        "policy": policy,
        "supporter": person.reference,
        "kind": kind,
        "official": dice.choice(TARGETS[policy]) if kind in {"letter", "call", "meeting"} else None,
        "on": day.isoformat(),
        "minutes": round(MINUTES[kind] * dice.uniform(0.6, 1.5)),
        "note": dice.choice(TOLD[language]) if dice.random() < 0.4 else None,
        "evidence_url": f"https://example.org/{policy}/{dice.randint(100, 999)}" if kind == "op_ed" else None,
    }
    script.add("actions.log", logged, person.actor, **data)
    roll = dice.random()
    looked_at = logged + timedelta(days=dice.randint(1, 4), minutes=dice.randint(0, 300))
    if roll < 0.84:
        script.add("actions.verify", looked_at, FIELD, action=action)
        if dice.random() < 0.28:
            answered = looked_at + timedelta(days=dice.randint(1, 9))
            summary = dice.choice(ANSWERS[language])
            on = person.day(answered).isoformat()
            script.add("actions.record_response", answered, person.actor, action=action, summary=summary, on=on)
    elif roll < 0.9:
        script.add("actions.reject", looked_at, FIELD, dice.choice(DOUBTS), action=action)
    elif roll < 0.94:
        script.add("actions.retract", looked_at, person.actor, "Logged by mistake.", action=action)
