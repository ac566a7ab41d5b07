"""Who takes part: chapters in a tree, and supporters with names, languages and time zones of their own."""

import unicodedata
from datetime import timedelta
from random import Random
from typing import Any, Final, NamedTuple

from api.demo.script import BEGIN, END, Person, Script, day_after, noon


class City(NamedTuple):
    """A local chapter, and how many of a hundred supporters live there."""

    key: str
    name: str
    parent: str
    city: str
    country: str
    latitude: float
    longitude: float
    zone: str
    locale: str
    share: int


MOVEMENT: Final = "ear-to-ear"
REGIONS: Final = (
    ("iberia", "Iberia", "pt-PT", "Europe/Lisbon"),
    ("america-latina", "América Latina", "es-MX", "America/Mexico_City"),
    ("isles-and-east-africa", "Isles and East Africa", "en-GB", "Europe/London"),
)
CITIES: Final = (
    City("lisboa", "Lisboa à escuta", "iberia", "Lisboa", "PT", 38.722, -9.139, "Europe/Lisbon", "pt-PT", 16),
    City("porto", "Porto de ouvido", "iberia", "Porto", "PT", 41.158, -8.629, "Europe/Lisbon", "pt-PT", 8),
    City("madrid", "Madrid escucha", "iberia", "Madrid", "ES", 40.417, -3.704, "Europe/Madrid", "es-ES", 14),
    City(
        "las-palmas", "Las Palmas escucha", "iberia", "Las Palmas", "ES", 28.124, -15.43, "Atlantic/Canary", "es-ES", 5
    ),
    City(
        "sao-paulo",
        "São Paulo ouve",
        "america-latina",
        "São Paulo",
        "BR",
        -23.551,
        -46.633,
        "America/Sao_Paulo",
        "pt-BR",
        13,
    ),
    City(
        "ciudad-de-mexico",
        "Ciudad de México escucha",
        "america-latina",
        "Ciudad de México",
        "MX",
        19.433,
        -99.133,
        "America/Mexico_City",
        "es-MX",
        12,
    ),
    City("bogota", "Bogotá escucha", "america-latina", "Bogotá", "CO", 4.711, -74.072, "America/Bogota", "es-CO", 6),
    City(
        "manchester",
        "Manchester Listens",
        "isles-and-east-africa",
        "Manchester",
        "GB",
        53.48,
        -2.242,
        "Europe/London",
        "en-GB",
        14,
    ),
    City(
        "nairobi",
        "Nairobi Listens",
        "isles-and-east-africa",
        "Nairobi",
        "KE",
        -1.286,
        36.817,
        "Africa/Nairobi",
        "en-KE",
        9,
    ),
    City(
        "leith",
        "Leith Listens",
        "isles-and-east-africa",
        "Edinburgh",
        "GB",
        55.976,
        -3.171,
        "Europe/London",
        "en-GB",
        3,
    ),
)

GIVEN: Final = {
    "pt": "Inês Rui Beatriz Tiago Mariana Duarte Leonor Afonso Catarina Vasco Joana Caio Luana Rafael Bianca Heitor "
    "Iara Otávio Lívia Davi Teresa Gonçalo Matilde Zeca",
    "es": "Lucía Mateo Carmen Andrés Ximena Diego Paloma Joaquín Valeria Emilio Renata Íñigo Noelia Julián Rocío Tomás "
    "Pilar Santiago Marisol Esteban Nuria Fermín Camila Ramiro",
    "en": "Grace Owen Amina Callum Wanjiru Peter Niamh Idris Achieng Harriet Kamau Rowan Zainab Elliot Njeri Martha "
    "Otieno Bethan Yusuf Clare Mwangi Isla Desmond Ruth",
}
FAMILY: Final = {
    "pt": "Carvalho Tavares Moreira Pinheiro Antunes Figueiredo Lopes Barbosa Queirós Nogueira Serrano Brandão Teles "
    "Prado Vilela Amaral Rebelo Sampaio",
    "es": "Montero Quintana Salazar Arroyo Beltrán Cifuentes Herrera Ibáñez Luján Ocampo Peralta Robledo Sandoval "
    "Téllez Urrutia Villegas Zamora Noriega",
    "en": "Okello Whitfield Kariuki Hargreaves Mensah Barlow Odhiambo Fairclough Mutua Sheridan Ashworth Wambui Lomax "
    "Njoroge Pemberton Kimani Rigby Achterberg",
}
CONSENT: Final = {
    "pt": "Quero receber o resumo da Ear to Ear por e-mail. Posso mudar de ideias quando quiser.",
    "es": "Quiero recibir el resumen de Ear to Ear por correo. Puedo cambiar de idea cuando quiera.",
    "en": "I would like the Ear to Ear digest by e-mail. I can change my mind whenever I like.",
}


def chapters(script: Script) -> None:
    """Found the movement's chapters, and close one that never found its feet."""
    begin = noon(BEGIN.month, BEGIN.day, 8)
    script.add("chapters.found", begin, chapter=MOVEMENT, name="Ear to Ear", locale="en", time_zone="Europe/Lisbon")
    for number, (key, name, locale, zone) in enumerate(REGIONS, start=1):
        at = begin + timedelta(minutes=number)
        script.add("chapters.found", at, chapter=key, name=name, parent=MOVEMENT, locale=locale, time_zone=zone)
    for number, city in enumerate(CITIES, start=10):
        place = {
            "city": city.city,
            "country": city.country,
            "latitude": city.latitude,
            "longitude": city.longitude,
        }
        script.add(
            "chapters.found",
            begin + timedelta(minutes=number),
            chapter=city.key,
            name=city.name,
            parent=city.parent,
            place=place,
            locale=city.locale,
            time_zone=city.zone,
        )
    salford = {"city": "Salford", "country": "GB"}
    script.add("chapters.found", noon(2, 3), chapter="salford", name="Salford Listens", parent=MOVEMENT, place=salford)
    script.add("chapters.move", noon(2, 4), chapter="salford", parent="manchester")
    why = "Six people came in three months; they meet in Manchester now."
    script.add("chapters.close", noon(5, 8), reason=why, chapter="salford")


def supporters(script: Script, count: int) -> None:
    """Let people come, over the half year, in small waves after each launch."""
    dice = script.dice("people")
    cities = dice.choices(CITIES, weights=[city.share for city in CITIES], k=count)
    # Every language is there from the first day, however few people there are.
    for number, key in enumerate(("lisboa", "madrid", "manchester", "sao-paulo", "ciudad-de-mexico", "nairobi")):
        cities[number] = next(city for city in CITIES if city.key == key)
    for number, city in enumerate(cities, start=1):
        person = _person(dice, number, city)
        script.people.append(person)
        _arrive(script, dice, person)


def _person(dice: Random, number: int, city: City) -> Person:
    language = city.locale[:2]
    given, family = dice.choice(GIVEN[language].split()), dice.choice(FAMILY[language].split())
    handle = f"{_ascii(given)}-{_ascii(family)}-{number}"
    first_days = number <= 12
    days = dice.randint(0, 6) if first_days else _arrival(dice)
    person = Person(
        reference=f"demo/{number}",  # not the name: actors and references are never sealed
        name=f"{given} {family}",
        email=f"{handle.replace('-', '.')}@example.org" if first_days or dice.random() < 0.93 else None,
        locale=city.locale,
        zone=city.zone,
        chapter=city.key,
        since=noon(1, 3),
        diligence=dice.betavariate(2.6, 1.5),
    )
    person.since = person.at(day_after(BEGIN, 1 + days), dice.uniform(8, 22))
    return person


def _arrival(dice: Random) -> int:
    """Return a day of the half year; half of the people come in the two weeks after something begins."""
    span = (END - BEGIN).days - 12
    if dice.random() < 0.5:
        return min(span, dice.choice((10, 38, 59, 108)) + round(dice.expovariate(1 / 6)))
    return dice.randint(3, span)


def _arrive(script: Script, dice: Random, person: Person) -> None:
    script.add(
        "supporters.register",
        person.since,
        person.actor,
        supporter=person.reference,
        name=person.name,
        email=person.email,
        locale=person.locale,
        time_zone=person.zone,
        chapter=person.chapter,
        source=dice.choice(("form", "form", "friend", "circle", "radio", "school")),
    )
    soon = person.since + timedelta(minutes=dice.randint(2, 90))
    if person.email and dice.random() < 0.87:
        script.add("supporters.confirm_email", soon, person.actor, supporter=person.reference)
        _preferences(script, dice, person)
    if dice.random() < 0.58:
        shown = person.name if dice.random() < 0.6 else f"{person.name.split()[0]} {person.name.split()[1][0]}."
        at = soon + timedelta(minutes=3)
        data: dict[str, Any] = {"supporter": person.reference, "public": True, "display_name": shown}
        script.add("supporters.set_visibility", at, person.actor, **data)


def _preferences(script: Script, dice: Random, person: Person) -> None:
    at = person.since + timedelta(minutes=95)
    if dice.random() < 0.78:
        words = CONSENT[person.language]
        consent: dict[str, Any] = {"supporter": person.reference, "topic": "digest", "wording": words}
        script.add("supporters.consent", at, person.actor, granted=True, **consent)
        often = dice.choices(("weekly", "daily", "monthly"), weights=(7, 2, 2))[0]
        weekday = dice.randint(1, 7) if often == "weekly" else None
        hour = dice.choice((7, 8, 9, 18, 20))
        digest: dict[str, Any] = {"supporter": person.reference, "frequency": often, "weekday": weekday, "hour": hour}
        script.add("supporters.set_digest", at + timedelta(minutes=1), person.actor, **digest)
        if dice.random() < 0.05:
            later = at + timedelta(days=dice.randint(20, 60))
            script.add("supporters.consent", later, person.actor, granted=False, **consent)


def departures(script: Script) -> None:
    """Let a few move to another chapter, and two ask to be forgotten."""
    dice = script.dice("departures")
    moved = [person for person in script.people if person.chapter == "porto"][:2]
    for person in moved:
        at = max(person.since + timedelta(days=9), noon(4, 11))
        script.add("supporters.amend", at, person.actor, supporter=person.reference, chapter="lisboa")
    candidates = [p for p in script.people[12:] if p.since < noon(5, 1)]
    for person in dice.sample(candidates, k=min(2, len(candidates))):
        person.leaves_at = noon(6, dice.randint(8, 22), 10)
        why = "Asked by letter to be forgotten."
        script.add("supporters.erase", person.leaves_at, STAFF_OF_DATA, why, supporter=person.reference)


STAFF_OF_DATA: Final = "staff:data.protection@example.org"


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode().lower()
