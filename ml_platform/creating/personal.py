"""Which columns are of a person, and which dates are of no event, by their names in six languages and by their values.

One table of words, in the form that :func:`~ml_platform.creating.columns.plain` gives names: small letters without
signs, parts joined by ``_``. A word that is clear wherever it stands is looked for within a name; one that is a part of
other words too is taken only where it stands by itself, or is the whole name.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class _Words:
    """Patterns of names: anywhere in one, as a part of one between ``_``, and as the whole."""

    within: str = ""
    part: str = ""
    whole: str = ""

    @property
    def pattern(self) -> str:
        made = [
            *([f"(?:{self.within})"] if self.within else []),
            *([rf"(?:^|_)(?:{self.part})(?:$|_)"] if self.part else []),
            *([f"^(?:{self.whole})$"] if self.whole else []),
        ]
        return "|".join(made)


#: Whom a table may be about, where the next word says that it is their name.
_PERSONS = (
    r"customer|client|patient|person|employee|emp|staff|worker|student|pupil|teacher|driver|passenger|guest|visitor|"
    r"tenant|owner|holder|cardholder|contact|author|doctor|physician|nurse|spouse|mother|father|parent|child|"
    r"beneficiary|borrower|applicant|recipient|sender|buyer|seller|user|member|subscriber|candidate|insured|donor|"
    r"participant|respondent|manager|agent"
)
#: Of these a number names one for whoever keeps the records; that of a customer or a user is a pseudonym of business.
_RECORDED = r"patient|person|employee|emp|student|pupil|citizen|resident|insured|beneficiary|inmate|participant"
#: What somebody is called, by language.
_NAMES = (
    _Words(
        r"(first|last|full|sur|family|given|maiden|middle|nick|screen|login)_?name|surname",
        part=rf"({_PERSONS})(_?s)?_?name|name(_of)?(_the)?_({_PERSONS})(_?s)?|[flm]name|initials?|account_holder|"
        r"cardholder|contact_person",
        whole="name|login|patient|employee",
    ),
    _Words(
        r"vorname|nachname|familienname|geburtsname|kundenname|mitarbeitername|patientenname|ansprechpartner",
        part=r"zuname|rufname",
    ),
    _Words(part=r"prenoms?|nom_de_famille|nom_de_jeune_fille", whole=r"noms?|nom_(complet|client|patient)"),
    _Words(part=r"apellidos?", whole=r"nombres?|nombre_(completo|cliente|paciente)|nombre_y_apellidos?"),
    _Words(part=r"cognome", whole=r"nome|nome_(completo|cliente|paziente)|nome_e_cognome"),
    _Words(part=r"voornaam|voornamen|achternaam|tussenvoegsel|klantnaam", whole=r"naam"),
)
#: When or where somebody was born; the first is no date of births, their rate, or a weight.
_BIRTH = (
    _Words(r"birth(?!s($|_)|_?(rate|weight|order|count|number))", part=r"dob|d_o_b|born"),
    _Words(r"geburtsdatum|geburtstag|geburtsort|geburtsjahr|geburtsland", part=r"geb_?(datum|tag|dat|jahr)|geboren"),
    _Words(part=r"naissance|ne_le|nee_le|anniversaire"),
    _Words(part=r"nacimiento|cumpleanos"),
    _Words(part=r"nascita|compleanno"),
    _Words(part=r"geboorte(datum|dag|plaats|jaar)?|verjaardag"),
)
#: Where somebody lives, how to reach them, and the numbers that a state or a bank gives them.
_OTHER = (
    _Words(
        r"e_?mail(?!ed|ing)|(?<!micro)phone(?!s?_?(calls|service|minutes|lines))|telephone|passport|social_security|"
        r"licen[cs]e_plate|credit_?card|postal_address|home_address|ip_?addr|driv(er|ers|er_s|ing)_licen[cs]e",
        part=r"addr|address\d*|addr\d+|iban|ssn|mobile|fax|house_(no|nr|number)|street(_(name|no|nr|number|line|\d+))?|"
        r"tel|(cell|contact|tax|nhs|medical_record|registration|plate|licen[cs]e|account|acct|card|cc|vin)_"
        r"(no|nr|num|number)|bank_account|national_(id|insurance)|tax_id|mrn|number_plate|vehicle_registration|imei|"
        r"imsi|msisdn|(twitter|instagram|facebook|linkedin)_(handle|id|name|profile)",
        whole=r".*_ip|ip|mail|mail_id",
    ),
    _Words(
        r"strasse(?!n)|hausnummer|anschrift|wohnadresse|telefonn(umme)?r|handynummer|mobilnummer|steuernummer|"
        r"steueridentifikationsnummer|sozialversicherungsn(umme)?r|versichertennummer|personalausweis|ausweisnummer|"
        r"passnummer|kontonummer|kreditkarten?nummer|autokennzeichen|nummernschild",
        part=r"hausnr|adresse|telefon|tel|handy|mobiltelefon|steuer_(id|nr)|sv_(nummer|nr)|svnr|kfz_kennzeichen|kontonr",
    ),
    _Words(
        part=r"courriel|securite_sociale|numero_fiscal|num_secu|passeport|permis_de_conduire|carte_d_identite|"
        r"carte_bancaire|tel_portable|adresse_postale",
        whole=r"rue|numero_de_telephone|telephone_portable",
    ),
    _Words(
        part=r"domicilio|telefono|correo|correo_electronico|seguridad_social|pasaporte",
        whole=r"dni|nie|nif|movil|calle|direccion|direccion_(postal|cliente|de_envio)",
    ),
    _Words(part=r"indirizzo|cellulare|codice_fiscale|carta_d_identita|passaporto"),
    _Words(
        part=r"straatnaam|straat|huisnummer|adres|woonadres|telefoon|telefoonnummer|bsn|burgerservicenummer|paspoort|"
        r"rijbewijs|rekeningnummer"
    ),
)
#: Postal codes: of a person beside other columns of one, of a region alone.
POSTAL = r"zip|zip_?code|post_?code|postal_code|plz|postleitzahl|code_postal|codigo_postal|codice_postale"

#: Names of dates that say since when something is, or what was done to the record; no event that is predicted at.
_STANDING = (
    _Words(
        r"signup|sign_up|regist(er|ration)|enrol|joined|hired|hire_date|founded|built|opened_on|account_open|"
        r"contract_start|start_of_contract|valid_(from|until|to)|expir|last_(update|change|login|contact)|updated|"
        r"modified",
        part="since|until|inception",
    ),
    _Words(
        r"eintrittsdatum|vertragsbeginn|vertragsende|gueltig|gultig|ablaufdatum|anmeldedatum|registriert|geaendert|"
        r"geandert|aktualisiert|baujahr|gruendung|grundung",
        part="seit|bis|eintritt",
    ),
    _Words(part=r"depuis|inscription|embauche|expiration|mise_a_jour"),
    _Words(part=r"desde|alta|fecha_(de_)?alta|vencimiento|actualizacion|contratacion"),
    _Words(part=r"assunzione|iscrizione|scadenza|aggiornamento"),
    _Words(part=r"sinds|indiensttreding|inschrijving|vervaldatum|bijgewerkt"),
)

_TEXTS = (
    r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
    r"^\+\d[\d ()/.-]{7,}$",
    r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$",
    r"^\d{1,3}(\.\d{1,3}){3}$",
)
#: A first or last word that makes a number of it, or a word about it: ``phone_calls``, ``address_type``, ``is_mobile``.
_ABOUT = re.compile(
    r"^(is|has|had|num|total|any|(no|nr|number|count|length|share)_of|anzahl)_|"
    r"_(counts?|len|length|type|kind|quality|rate|ratio|changes?|changed|sent|opened|clicked|clicks|used|usage|status|"
    r"flag|present|verified|valid|score|days|months|share|calls?|services?|lines|minutes|seconds|plan|app|opt|opt_?in|"
    r"provided|given|missing|subscribed|marketing|costs?|price|domain|provider|issued|size|width|thickness|temp|"
    r"lights|lamps|parking|brand|model|os|device|anzahl)$"
)
_IDENTITY = r"id|ids|no|nr|num|number|code|key|ref|identifier"
_RECORD = re.compile(rf"(^|_)({_RECORDED})(_?s)?_?({_IDENTITY})$|(^|_)({_IDENTITY})(_of)?(_the)?_({_RECORDED})(_?s)?$")
#: Answers such as yes, no and unknown, of many rows, are of no person, whatever the column is called.
_ANSWERS, _MANY = 3, 50


def _any(words: tuple[_Words, ...]) -> re.Pattern[str]:
    return re.compile("|".join(one.pattern for one in words))


_CALLED, _BORN, _REACHED, _SINCE = _any(_NAMES), _any(_BIRTH), _any(_OTHER), _any(_STANDING)


def personal(there: "pl.Series", field: str, kind: str) -> str:
    """Why the values of a column that are there are taken for personal; empty where they are not."""
    about = bool(_ABOUT.search(field))
    if kind == "text" and not about and _CALLED.search(field):
        return "its name"
    few = there.len() >= _MANY and there.n_unique() <= _ANSWERS
    named = _BORN.search(field) or (not about and (_REACHED.search(field) or record(field)))
    if kind in ("text", "int", "date", "timestamp") and not few and named:
        return "its name"
    if kind == "text" and there.len():
        some = there[:2_000]
        if any(some.str.contains(pattern).sum() > 0.8 * some.len() for pattern in _TEXTS):
            return "its values"
    return ""


def record(field: str) -> bool:
    """Whether a column numbers the people that records are kept of, by its name: ``patient_id``. A key may be one."""
    return bool(_RECORD.search(field))


def postal(field: str) -> bool:
    """Whether a column is one of postal codes, by its name."""
    return bool(re.search(rf"(^|_)({POSTAL})($|_)", field))


def born(field: str) -> bool:
    """Whether a date is one of birth, by its name: that is never when a row was seen."""
    return bool(_BORN.search(field))


def standing(field: str) -> bool:
    """Whether a date says since when something is, or when its record changed, by its name."""
    return bool(_SINCE.search(field))
