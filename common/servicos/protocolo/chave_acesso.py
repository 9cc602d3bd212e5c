"""The access key of an NF-e, the Brazilian electronic invoice: 44 digits that identify it.

Source: Manual de Orientação do Contribuinte (MOC) of the NF-e, section "Chave de Acesso da NF-e":

    cUF  AAMM  CNPJ  mod  serie  nNF  tpEmis  cNF  cDV
    2    4     14    2    3      9    1       8    1     digits

cUF is the IBGE code of the issuer's state, AAMM the year and month of emission, mod 55 the NF-e,
tpEmis 1 the ordinary emission, cNF a code that the issuer chooses and cDV the check digit.
"""

from __future__ import annotations

from operator import mul
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import date

# A made-up taxpayer with valid check digits, used all over in Brazilian documentation.
CNPJ_SINTETICO: Final = "11222333000181"
# IBGE codes of the 27 states.
UFS: Final = frozenset(
    (*range(11, 18), *range(21, 30), *range(31, 34), 35, *range(41, 44), *range(50, 54))
)

# Digits of cNF, nNF and serie bound their values.
CODIGO_MAX: Final = 99_999_999
NUMERO_MAX: Final = 999_999_999
SERIES_MAX: Final = 999

_TAMANHO: Final = 44
_TAMANHO_CNPJ: Final = 14
# 2 to 9 from the right, over and over.
_PESOS: Final = tuple(2 + posicao % 8 for posicao in range(_TAMANHO - 1))[::-1]
# Summing over the bytes of the text counts ord("0") with each weight; taken off once.
_EXCESS: Final = ord("0") * sum(_PESOS)
# The digit of each remainder: 11 less the remainder, and 0 where that has two digits.
_DIGITOS: Final = "00987654321"


def digito_verificador(primeiros_43: str) -> str:
    """The check digit of the first 43 digits of a key: modulo 11, weights 2 to 9 from the right.

    A remainder of 0 or 1 gives 0. Raises ValueError unless given 43 ASCII digits.
    """
    if len(primeiros_43) != _TAMANHO - 1 or not _so_digitos(primeiros_43):
        raise ValueError(f"expected 43 digits, got {primeiros_43!r}")
    return _digito(primeiros_43)


def montar_chave(
    *,
    emitida_em: date,
    numero: int,
    codigo: int,
    uf: int = 35,
    cnpj: str = CNPJ_SINTETICO,
    serie: int = 1,
) -> str:
    """The 44-digit key of invoice `numero` (1 to 999,999,999) of `serie` (0 to 999).

    `codigo` (cNF, 0 to 99,999,999) is the issuer's choice. Raises ValueError when a value does not
    fit its digits or is not an IBGE code or a 14-digit CNPJ (whose own digits are not checked).
    """
    if not 1 <= numero <= NUMERO_MAX:
        raise ValueError(f"numero must be 1 to {NUMERO_MAX}, got {numero}")
    if not 0 <= codigo <= CODIGO_MAX:
        raise ValueError(f"codigo must be 0 to {CODIGO_MAX}, got {codigo}")
    if not 0 <= serie <= SERIES_MAX:
        raise ValueError(f"serie must be 0 to {SERIES_MAX}, got {serie}")
    if uf not in UFS:
        raise ValueError(f"uf must be the IBGE code of a state, got {uf}")
    if len(cnpj) != _TAMANHO_CNPJ or not _so_digitos(cnpj):
        raise ValueError(f"cnpj must be 14 digits, got {cnpj!r}")
    primeiros_43 = (
        f"{uf}{emitida_em.year % 100:02d}{emitida_em.month:02d}"
        f"{cnpj}55{serie:03d}{numero:09d}1{codigo:08d}"
    )
    return primeiros_43 + _digito(primeiros_43)


def chave_valida(chave: str) -> bool:
    """True for 44 ASCII digits of which the last is the check digit of the others."""
    return len(chave) == _TAMANHO and _so_digitos(chave) and chave[-1] == _digito(chave[:-1])


def _so_digitos(texto: str) -> bool:
    # isdigit alone also accepts the digits of other scripts.
    return texto.isascii() and texto.isdigit()


def _digito(primeiros_43: str) -> str:
    return _DIGITOS[(sum(map(mul, _PESOS, primeiros_43.encode())) - _EXCESS) % 11]
