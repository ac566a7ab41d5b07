"""What people are asked: four campaigns that begin in the half year, one for the autumn, and their daily prompts."""

from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from api.demo.script import FIELD, STAFF, Script, noon

LISTEN: Final = "twenty-one-days"
NIGHT: Final = "la-pregunta-de-la-noche"
DOOR: Final = "uma-porta"
LUNCH: Final = "the-unhurried-lunch"
AUTUMN: Final = "letters-to-grandparents"

PROMPTS_EN: Final = (
    "Ask one person how their day really was, and wait for the second answer.",
    "Let somebody finish. Count to three before you reply.",
    "Listen to a voice you usually skip past: a neighbour, a cashier, a child.",
    "Put the phone in another room for ten minutes of talk.",
    "Say back what you heard, in your own words, and ask whether it is right.",
    "Notice one moment in which you were preparing your answer instead of listening.",
    "Call somebody who is older than your parents.",
    "Ask a colleague what they wish people understood about their work.",
    "Listen to a disagreement without mending it.",
    "Walk for ten minutes with somebody, and let them choose the subject.",
    "Thank a person who once listened to you.",
    "Ask a question to which you do not know the answer.",
    "Hear out a complaint to its end.",
    "Sit with somebody in silence, and do not fill it.",
    "Listen to music somebody else loves, and ask why.",
    "Ask a child to explain something to you.",
    "Tell somebody what you learned from them.",
    "Listen to yourself: write three lines about how you are.",
    "Ask somebody who disagrees with you what they are afraid of losing.",
    "Let somebody tell a story you already know.",
    "Ask the first person again how their day was. What has changed?",
)
PROMPTS_ES: Final = (
    "Pregunta en la cena: ¿qué fue lo mejor de hoy?",
    "Pregunta: ¿qué te costó hoy? No aconsejes.",
    "Pregunta a alguien por un olor de su infancia.",
    "Escucha una historia de familia hasta el final.",
    "Pregunta: ¿a quién echas de menos?",
    "Apaga la televisión diez minutos y mira a quien tienes enfrente.",
    "Pregunta: ¿qué te gustaría que yo supiera de ti?",
    "Deja que el más callado hable primero.",
    "Pregunta por un miedo pequeño.",
    "Repite con tus palabras lo que te han contado.",
    "Pregunta: ¿cuándo te sentiste escuchado por última vez?",
    "Llama a quien siempre te llama a ti.",
    "Pregunta a un niño qué haría si mandara en la casa.",
    "Escucha una queja sin defenderte.",
    "Pregunta: ¿qué canción te cambia el día?",
    "Pide perdón por una vez que no escuchaste.",
    "Pregunta por un sueño que aún está a tiempo.",
    "Escucha a alguien que piensa distinto. Solo escucha.",
    "Pregunta: ¿qué aprendiste esta semana?",
    "Da las gracias, con nombre y motivo.",
    "Repite la primera pregunta. ¿Qué ha cambiado?",
)
PROMPTS_PT: Final = (
    "Diga bom dia a um vizinho e espere pela resposta.",
    "Aprenda o nome de alguém do seu prédio.",
    "Pergunte a quem passa o dia em casa como corre a tarde.",
    "Ofereça dez minutos para carregar as compras de alguém.",
    "Ouça a história de uma fotografia antiga.",
    "Bata a uma porta onde nunca bateu.",
    "Pergunte: do que sente falta nesta rua?",
    "Escute uma queixa do condomínio até ao fim.",
    "Leve uma fatia de bolo, e fique para a conversa.",
    "Pergunte a uma criança onde gosta de brincar.",
    "Deixe um bilhete de agradecimento.",
    "Ouça quem chegou há pouco: o que foi difícil?",
    "Pergunte a quem cá vive há mais tempo como era antes.",
    "Fique em silêncio ao lado de alguém no banco do jardim.",
    "Pergunte: em que posso ajudar esta semana?",
    "Escute sem olhar para o telefone.",
    "Apresente dois vizinhos um ao outro.",
    "Pergunte pela receita de família.",
    "Ouça alguém de quem discorda na reunião de moradores.",
    "Conte a um vizinho o que aprendeu com ele.",
    "Bata de novo à primeira porta.",
)


class Ask(NamedTuple):
    """One thing to promise, and in which days it can be."""

    campaign: str
    ask: str
    statement: str
    opens: date
    closes: date
    languages: tuple[str, ...]
    draw: float
    prompts: tuple[str, ...] = ()
    rest_days: int = 0

    @property
    def is_challenge(self) -> bool:
        """Whether it is kept day by day."""
        return bool(self.prompts)


ALL: Final = ("en", "es", "pt")
ASKS: Final = (
    Ask(
        LISTEN,
        "ten-minutes",
        "I will listen to somebody for ten minutes a day, twenty-one days long.",
        date(2026, 1, 12),
        date(2026, 6, 30),
        ALL,
        0.62,
        PROMPTS_EN,
    ),
    Ask(
        LISTEN,
        "listening-circle",
        "I will host one listening circle before the summer.",
        date(2026, 1, 12),
        date(2026, 6, 30),
        ALL,
        0.24,
    ),
    Ask(
        NIGHT,
        "una-pregunta",
        "Haré una pregunta de verdad en la cena, veintiún días.",
        date(2026, 2, 9),
        date(2026, 6, 30),
        ("es",),
        0.55,
        PROMPTS_ES,
        1,
    ),
    Ask(
        DOOR,
        "vizinhos",
        "Vou ouvir os meus vizinhos, um pouco por dia, durante vinte e um dias.",
        date(2026, 4, 20),
        date(2026, 6, 30),
        ("pt",),
        0.6,
        PROMPTS_PT,
        1,
    ),
    Ask(
        DOOR,
        "bater-a-porta",
        "Vou bater a uma porta onde nunca bati.",
        date(2026, 4, 20),
        date(2026, 6, 30),
        ALL,
        0.4,
    ),
    Ask(
        LUNCH,
        "lunch-together",
        "Once a week I will eat with a colleague, unhurried, without screens.",
        date(2026, 3, 2),
        date(2026, 5, 28),
        ALL,
        0.33,
    ),
    Ask(
        LUNCH,
        "ask-my-manager",
        "I will ask my manager for one meeting a month in which nobody presents.",
        date(2026, 3, 2),
        date(2026, 5, 28),
        ("en", "es"),
        0.18,
    ),
)

DRAFTS: Final[tuple[tuple[str, date, dict[str, Any]], ...]] = (
    (
        LISTEN,
        date(2026, 1, 5),
        {
            "title": "Twenty-one days of listening",
            "summary": "Ten minutes a day for somebody else's day. A prompt each morning, a check-in each evening, and "
            "nobody minds if you miss one.",
            "hashtag": "#21DaysOfListening",
            "goal": {"count": 500, "unit": "people"},
            "opens_on": "2026-01-12",
            "time_zone": "Europe/Lisbon",
        },
    ),
    (
        NIGHT,
        date(2026, 2, 2),
        {
            "title": "La pregunta de la noche",
            "summary": "Una pregunta en la mesa, cada noche, y el tiempo de escuchar la respuesta.",
            "hashtag": "#LaPreguntaDeLaNoche",
            "goal": {"count": 150, "unit": "mesas"},
            "opens_on": "2026-02-09",
            "time_zone": "America/Mexico_City",
            "chapter": "america-latina",
        },
    ),
    (
        LUNCH,
        date(2026, 2, 24),
        {
            "title": "The unhurried lunch",
            "summary": "An hour in which colleagues are people first. One table, no slides.",
            "hashtag": "#UnhurriedLunch",
            "goal": {"count": 200, "unit": "lunches"},
            "opens_on": "2026-03-02",
            "closes_on": "2026-05-29",
            "time_zone": "Europe/London",
            "chapter": "manchester",
        },
    ),
    (
        DOOR,
        date(2026, 4, 10),
        {
            "title": "Uma porta",
            "summary": "Atrás de cada porta há uma história que ainda não ouvimos. Comece pela do lado.",
            "hashtag": "#UmaPorta",
            "goal": {"count": 300, "unit": "portas"},
            "opens_on": "2026-04-20",
            "time_zone": "Europe/Lisbon",
            "chapter": "iberia",
        },
    ),
    (
        AUTUMN,
        date(2026, 6, 18),
        {
            "title": "Letters to grandparents",
            "summary": "One question, by post, to somebody who was young before there were telephones in every pocket.",
            "hashtag": "#DearGrandparent",
            "goal": {"count": 1000, "unit": "letters"},
            "opens_on": "2026-09-15",
            "time_zone": "Europe/Lisbon",
        },
    ),
)

FRAMINGS: Final = (
    (LISTEN, "es", "Veintiún días de escucha", "Diez minutos al día para el día de otra persona."),
    (LISTEN, "pt", "Vinte e um dias de escuta", "Dez minutos por dia para o dia de outra pessoa."),
    (NIGHT, "en", "The question at night", "One question at the table, every evening, and time for the answer."),
    (NIGHT, "pt", "A pergunta da noite", "Uma pergunta à mesa, todas as noites, e tempo para ouvir a resposta."),
    (LUNCH, "es", "El almuerzo sin prisa", "Una hora en la que los colegas son, antes que nada, personas."),
    (LUNCH, "pt", "O almoço sem pressa", "Uma hora em que os colegas são, antes de mais, pessoas."),
    (DOOR, "en", "One door", "Behind every door is a story we have not heard yet. Begin next door."),
    (
        DOOR,
        "es",
        "Una puerta",
        "Detrás de cada puerta hay una historia que aún no hemos oído. Empieza por la de al lado.",
    ),
    (AUTUMN, "pt", "Cartas aos avós", "Uma pergunta, pelo correio, a quem foi jovem antes de nós."),
)


def campaigns(script: Script) -> None:
    """Draft, word, launch, pause and finish the campaigns."""
    for campaign, day, data in DRAFTS:
        drafted = noon(day.month, day.day, 9)
        script.add("campaigns.draft", drafted, campaign=campaign, **data)
        for number, (_, locale, title, summary) in enumerate((f for f in FRAMINGS if f[0] == campaign), start=1):
            at = drafted + timedelta(minutes=20 * number)
            script.add("campaigns.frame", at, FIELD, campaign=campaign, locale=locale, title=title, summary=summary)
        for number, ask in enumerate((a for a in ASKS if a.campaign == campaign), start=1):
            _add_ask(script, ask, drafted + timedelta(hours=1, minutes=number))
    for campaign in (LISTEN, NIGHT, DOOR, LUNCH):
        opens = next(ask.opens for ask in ASKS if ask.campaign == campaign)
        script.add("campaigns.launch", noon(opens.month, opens.day, 0), campaign=campaign)
    letter = {"ask": "one-letter", "kind": "once", "statement": "I will write one letter by hand, with one question."}
    script.add("campaigns.add_ask", noon(6, 18, 11), campaign=AUTUMN, **letter)
    why = "Easter holidays: canteens are empty and so are the tables."
    script.add("campaigns.pause", noon(4, 2, 17), reason=why, campaign=LUNCH)
    script.add("campaigns.resume", noon(4, 13, 7), campaign=LUNCH)
    script.add("campaigns.amend", noon(3, 20), STAFF, campaign=LISTEN, goal={"count": 400, "unit": "people"})
    script.add("campaigns.complete", noon(5, 29, 16), campaign=LUNCH)
    script.add("campaigns.archive", noon(6, 15), campaign=LUNCH)


def _add_ask(script: Script, ask: Ask, at: Any) -> None:  # noqa: ANN401 - a moment
    data: dict[str, Any] = {"campaign": ask.campaign, "ask": ask.ask, "statement": ask.statement, "kind": "once"}
    if ask.is_challenge:
        data |= {"kind": "challenge", "days": len(ask.prompts), "prompts": list(ask.prompts), "backdating_days": 2}
        data["rest_days"] = ask.rest_days
    script.add("campaigns.add_ask", at, **data)


def open_on(ask: Ask, day: date) -> bool:
    """Tell whether the ask can be promised that day: launched, and not paused."""
    paused = ask.campaign == LUNCH and date(2026, 4, 2) <= day <= date(2026, 4, 13)
    return ask.opens < day < ask.closes and not paused
