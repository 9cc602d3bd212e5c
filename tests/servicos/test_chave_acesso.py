"""The access key of an invoice."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.servicos.protocolo.chave_acesso import (
    UFS,
    chave_valida,
    digito_verificador,
    montar_chave,
)

DIGITOS = st.text("0123456789", min_size=43, max_size=43)
CHAVES = st.builds(
    montar_chave,
    emitida_em=st.dates(date(2006, 1, 1), date(2099, 12, 31)),
    numero=st.integers(1, 999_999_999),
    codigo=st.integers(0, 99_999_999),
    uf=st.sampled_from(sorted(UFS)),
    serie=st.integers(0, 999),
)


def test_exemplo_do_manual_tem_digito_5() -> None:
    """The worked example of the Manual de Orientação do Contribuinte gives 5."""
    assert digito_verificador("5206043300991100250655012000000780026730161") == "5"


@pytest.mark.parametrize(("final", "resto"), [("0", 0), ("6", 1)])
def test_restos_0_e_1_dao_digito_0(final: str, resto: int) -> None:
    """A remainder of 0 or 1 would need two digits, and gives 0."""
    assert int(final) * 2 % 11 == resto
    assert digito_verificador("0" * 42 + final) == "0"


def test_partes_ficam_nas_posicoes_do_manual() -> None:
    """Every part of the key stands at the place that the manual gives it."""
    chave = montar_chave(
        emitida_em=date(2025, 3, 9),
        numero=1_234,
        codigo=56_789,
        uf=41,
        cnpj="12345678000195",
        serie=7,
    )
    partes = ("41", "2503", "12345678000195", "55", "007", "000001234", "1", "00056789")
    assert chave[:43] == "".join(partes)
    assert chave[43] == digito_verificador(chave[:43])


@given(CHAVES)
def test_chave_montada_e_valida(chave: str) -> None:
    """Whatever its parts, a key has 44 digits and passes its own check."""
    assert len(chave) == 44
    assert chave_valida(chave)


@given(DIGITOS)
def test_digito_segue_a_definicao(primeiros_43: str) -> None:
    """The digit is what the manual's rule gives when it is followed step by step."""
    peso, soma = 2, 0
    for algarismo in reversed(primeiros_43):
        soma += int(algarismo) * peso
        peso = 2 if peso == 9 else peso + 1
    resto = soma % 11
    assert digito_verificador(primeiros_43) == str(0 if resto < 2 else 11 - resto)


@given(CHAVES, st.integers(0, 42), st.integers(1, 9))
def test_um_algarismo_trocado_invalida_salvo_pelos_restos_0_e_1(
    chave: str, posicao: int, diferenca: int
) -> None:
    """One wrong digit is always noticed, unless both remainders are the two that share the 0."""
    trocado = str((int(chave[posicao]) + diferenca) % 10)
    errada = chave[:posicao] + trocado + chave[posicao + 1 :]
    assert not chave_valida(errada) or chave[43] == "0"


@given(CHAVES, st.integers(1, 9))
def test_verificador_trocado_invalida(chave: str, diferenca: int) -> None:
    """A wrong check digit is always noticed."""
    assert not chave_valida(chave[:43] + str((int(chave[43]) + diferenca) % 10))


@given(st.text(max_size=60))
def test_texto_qualquer_nunca_levanta(texto: str) -> None:
    """Asking about any text answers yes or no, and a yes means 44 ASCII digits."""
    if chave_valida(texto):
        assert len(texto) == 44
        assert set(texto) <= set("0123456789")


def test_algarismos_de_outra_escrita_nao_valem() -> None:
    """Digits of another script are digits to Python, not to the tax office."""
    chave = montar_chave(emitida_em=date(2025, 1, 1), numero=1, codigo=2)
    assert not chave_valida(chave.translate({ord("0") + n: 0x0660 + n for n in range(10)}))


@pytest.mark.parametrize(
    "errado",
    [
        {"numero": 0},
        {"numero": 1_000_000_000},
        {"codigo": -1},
        {"codigo": 100_000_000},
        {"serie": -1},
        {"serie": 1_000},
        {"uf": 34},
        {"cnpj": "1122233300018"},
        {"cnpj": "1122233300018x"},
    ],
)
def test_parte_que_nao_cabe_e_recusada(errado: dict[str, int | str]) -> None:
    """A part that does not fit its digits is refused by name; no longer key is made."""
    partes: dict[str, object] = {"emitida_em": date(2025, 1, 1), "numero": 1, "codigo": 1, **errado}
    with pytest.raises(ValueError, match=next(iter(errado))):
        montar_chave(**partes)  # type: ignore[arg-type]


@pytest.mark.parametrize("texto", ["", "1" * 42, "1" * 44, "1" * 42 + "x"])
def test_digito_pede_43_algarismos(texto: str) -> None:
    """A check digit is only given for exactly 43 digits."""
    with pytest.raises(ValueError, match="43 digits"):
        digito_verificador(texto)
