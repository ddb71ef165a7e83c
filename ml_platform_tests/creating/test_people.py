"""Columns that name a person, in the languages of those who keep tables; and dates that are no event."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.creating.columns import look
from ml_platform.creating.periods import few_rows
from ml_platform.creating.questions import Questions
from ml_platform.creating.roles import Roles, Wishes, roles_of
from ml_platform.creating.tables import read_table
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import write

ROWS = 400

PERSONAL = [
    *("Geburtsdatum", "Geburtstag", "geb_datum", "GebDatum", "Vorname", "Nachname", "Familienname", "Kundenname"),
    *("Straße", "Strasse", "Lieferstraße", "Hausnummer", "Hausnr.", "Anschrift", "Adresse", "Telefon", "Tel.-Nr."),
    *("Telefonnummer", "Handy", "Steuernummer", "Steuer-ID", "Sozialversicherungsnummer", "SV-Nummer", "Kontonummer"),
    *("Personalausweisnummer", "Kfz-Kennzeichen", "E-Mail-Adresse", "IBAN"),
    *("Prénom", "Nom", "Nom de famille", "Date de naissance", "Adresse postale", "Téléphone", "Courriel"),
    *("Numéro de sécurité sociale", "Numéro fiscal"),
    *("Nombre", "Apellidos", "Primer apellido", "Fecha de nacimiento", "Dirección", "Domicilio", "Teléfono", "DNI"),
    *("Correo electrónico", "NIE"),
    *("Nome", "Cognome", "Data di nascita", "Indirizzo", "Telefono", "Cellulare", "Codice fiscale"),
    *("Voornaam", "Achternaam", "Naam", "Geboortedatum", "Straatnaam", "Huisnummer", "Woonadres", "Telefoon", "BSN"),
    *("First name", "Birthday", "DOB", "Street", "Phone", "Surname", "D.O.B.", "fname", "Middle Initial", "Cardholder"),
    *(
        "Customer Name",
        "ClientName",
        "Name of Customer",
        "customer's name",
        "Name (customer)",
        "Contact Person",
        "login",
    ),
    *(
        "email address",
        "E-Mail",
        "mail",
        "Contact Email",
        "SSN",
        "Social Security No.",
        "phone no",
        "Tel. No",
        "Fax no",
    ),
    *("cell phone", "mobile number", "Contact Number", "Address Line 1", "address1", "home addr", "House Number"),
    *("Street Address", "Passport No", "Driver's License", "license number", "account no", "card no", "ip_addr", "MRN"),
    *(
        "NHS Number",
        "National ID",
        "Tax ID",
        "number plate",
        "Patient ID",
        "PatientID",
        "id_patient",
        "employee no",
        "Tel. No",
    ),
    *("ID of Patient", "student's id"),
]
HARMLESS = [
    *("Straßentyp", "Telefonate", "Anzahl Telefonate", "Geburtenrate", "Geburtsgewicht", "Kennzeichen", "Namenszusatz"),
    *("birth_rate", "birth_weight", "births", "Handyvertrag", "Mobilität", "nombre_enfants", "rue_etroite"),
    *("direccion_viento", "nome_prodotto", "Produktname", "cap", "via", "Hotel", "Motel", "dnipro", "Niederschlag"),
    *("naamloos", "Stunden", "Nominal", "nominal_value", "calle_peatonal_m2", "Umsatz", "Größe", "Postleitzahl", "PLZ"),
    *("email_opened", "phone_calls", "zip", "Code postal", "Artikelname", "paid", "capital", "Capital gain"),
    *("emails sent", "emailed", "is_mobile", "mobile_app_used", "automobile", "streets", "street_lights", "addressed"),
    *("address_changes", "username_length", "Cell.size", "cellular", "microphone", "license type", "account_age"),
    *("patients", "patient_count", "number of employees", "customer_id", "user_id", "product name", "Store Name"),
    *("file name", "hotel", "trip", "tip", "tel_quality", "passports issued", "plate thickness", "card_type"),
    *("is_email_address", "employees"),
]  # fmt: skip


def numbers(name: str) -> pl.Series:
    return pl.Series(name, np.random.default_rng(3).integers(10_000, 99_999, ROWS))


@pytest.mark.parametrize("name", PERSONAL)
def test_what_names_a_person_is_personal_in_each_language(name: str) -> None:
    found = look(pl.DataFrame([numbers(name).cast(pl.String)]))
    assert found[name].personal == "its name"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_sounds_like_it_is_not(name: str) -> None:
    found = look(pl.DataFrame([numbers(name)]))
    assert not found[name].personal


def test_a_postal_code_is_personal_beside_a_person_and_a_region_alone() -> None:
    for name in ("PLZ", "zip", "Code postal", "Postcode", "Postleitzahl"):
        assert not look(pl.DataFrame([numbers(name), numbers("sold")]))[name].personal
        beside = look(pl.DataFrame([numbers(name), numbers("Nachname").cast(pl.String)]))[name]
        assert beside.personal == "its name, beside 'Nachname'"
        assert beside.identity


def test_an_answer_of_yes_or_no_is_none_of_a_person() -> None:
    answers = pl.Series("PhoneService", ["Yes", "No"] * (ROWS // 2))
    assert not look(pl.DataFrame([answers]))["PhoneService"].personal
    names = pl.Series("Nachname", ["Maier", "Huber"] * (ROWS // 2))
    assert look(pl.DataFrame([names]))["Nachname"].personal


def people(**dates: Any) -> pl.DataFrame:
    """Customers with the given dates."""
    random = np.random.default_rng(5)
    income = random.normal(size=ROWS).round(3)
    return pl.DataFrame(
        {
            "Kundennummer": list(range(5_000, 5_000 + ROWS)),
            **dates,
            "income": income,
            "left": random.random(ROWS) < 1 / (1 + np.exp(-2 * income)),
        }
    )


def days(first: date, span: int, seed: int = 6) -> list[date]:
    drawn = np.random.default_rng(seed).integers(0, span, ROWS)
    return [first + timedelta(days=int(one)) for one in drawn]


def roles(folder: Path, frame: pl.DataFrame, ask: Any = None, **wishes: Any) -> Roles:
    table = read_table(str(write(frame, folder / "t.csv")), folder)
    return roles_of(table, Wishes("left", **wishes), Questions(ask))


@pytest.mark.parametrize("name", ["Geburtsdatum", "date_naissance", "birthday", "dob", "geboren am", "born"])
@pytest.mark.parametrize("timestamp", [False, True])
def test_a_birth_date_is_never_the_time_of_the_event(tmp_path: Path, name: str, timestamp: bool) -> None:
    born: Any = days(date(1940, 1, 1), 60 * 365)
    if timestamp:
        born = [datetime(one.year, one.month, one.day, 7, 30) for one in born]
    asked: list[str] = []

    def ask(question: str, guess: str) -> str:
        asked.append(question)
        return guess

    alone = roles(tmp_path, people(**{name: born}), ask)
    assert alone.time == "" and alone.columns[name].personal
    assert any(f"'{name}' is a date of birth" in note and "--time COLUMN" in note for note in alone.notes)
    both = roles(tmp_path, people(**{name: born, "day": days(date(2024, 1, 1), 300)}), ask)
    assert both.time == "day"
    assert not any(name in question for question in asked)
    said = roles(tmp_path, people(**{name: born}), time=name)
    assert name in (said.time, said.timestamp)
    assert any(f"'{name}' is a date of birth" in note for note in said.notes)


@pytest.mark.parametrize(
    "since", ["customer_since", "Eintrittsdatum", "signup_date", "Kunde seit", "contract start", "hired"]
)
def test_the_time_is_when_a_row_was_seen_and_not_since_when_something_is(tmp_path: Path, since: str) -> None:
    started = days(date(2015, 1, 1), 2_000)
    seen = days(date(2024, 1, 1), 300)
    assert roles(tmp_path, people(**{since: started, "Bestelldatum": seen})).time == "Bestelldatum"
    assert roles(tmp_path, people(**{since: started, "xyz": seen})).time == "xyz"
    assert roles(tmp_path, people(**{since: started})).time == since


def test_no_time_can_be_asked_for(tmp_path: Path) -> None:
    assert roles(tmp_path, people(day=days(date(2024, 1, 1), 300)), time="none").time == ""
    frame = people(none=days(date(2024, 1, 1), 300))
    assert roles(tmp_path, frame, time="none").time == "none"


@pytest.mark.slow
def test_a_time_of_few_rows_over_decades_is_told_with_both_ways_out(mine: Mine) -> None:
    frame = people(opened=days(date(1950, 1, 1), 50 * 365))
    made = mine.new(mine.table(frame), "left")
    (note,) = [one for one in made.notes if "rows in most" in one]
    assert "'opened'" in note and "--time COLUMN" in note and "--time none" in note


def test_enough_rows_over_decades_are_no_reason_to_warn() -> None:
    assert few_rows({"1950-01-01": 400, "1951-01-01": 400, "1952-01-01": 2}) == 0
    assert few_rows({"1950-01-01": 4, "1951-01-01": 6, "1952-01-01": 400}) == 6
