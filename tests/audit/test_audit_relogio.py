"""Clocks that are wrong or are set: what the services do under them is clean all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from common.audit import audit
from common.storage.files import GATEWAY, SALAS
from tests.support.audit_support import PASSADO, aberta, corromper, escrever_historia, preparar
from tests.support.shops_that_lived import acusados, impresso, vermelhas

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.audit_support import Loja

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
# The orders of one try: enough for the gateway to approve some, wherever they are cut.
ORDERS: Final = 6


async def _comprar_e_cancelar(loja: Loja, ao_meio: dict[str, float]) -> list[int]:
    """Orders that are cut at each hop; the clocks are set, then each is cancelled."""
    cancelados = []
    for cabo in loja.cabos.values():
        cabo.corte = "ida"
        presos = [await loja.criar() for _ in range(ORDERS)]
        cabo.corte = None
        for nome, segundos in ao_meio.items():
            loja.relogios[nome].adiante += segundos
        for preso in presos:
            if preso.status == "pendente":
                await loja.cancelar(f"chave-{preso.pedido_id - PASSADO}", preso.pedido_id)
                cancelados.append(preso.pedido_id)
        await loja.criar()
    assert cancelados
    return cancelados


@pytest.mark.parametrize("adiante_s", [-HOUR_S, -90.0, 90.0, HOUR_S])
@pytest.mark.parametrize("servico", [*SALAS, GATEWAY.nome])
async def test_um_servico_com_outra_hora_nao_e_acusado(
    tmp_path: Path, servico: str, adiante_s: float
) -> None:
    """A service whose wall clock is off has tombstones older or younger than their orders, legally."""
    preparar(tmp_path / "dados")
    async with aberta(tmp_path / "dados") as loja:
        loja.relogios[servico].adiante = adiante_s
        for _ in range(ORDERS):
            await loja.criar()
        await _comprar_e_cancelar(loja, {})
    historia = escrever_historia(tmp_path / "h.jsonl", loja.historia)
    relatorio = audit(tmp_path / "dados", history=historia, settled=True, complete=True)
    assert vermelhas(relatorio) == set(), impresso(relatorio)


@pytest.mark.parametrize("adiante_s", [-HOUR_S, HOUR_S])
async def test_a_service_that_has_seen_cancels_only_is_not_accused(
    tmp_path: Path, adiante_s: float
) -> None:
    """No step forward shows how its clock goes, so nothing is said of the age of its tombstones."""
    preparar(tmp_path / "dados")
    async with aberta(tmp_path / "dados") as loja:
        loja.relogios["logistica"].adiante = adiante_s
        loja.cabos["logistica"].corte = "ida"
        presos = [await loja.criar() for _ in range(ORDERS)]
        loja.cabos["logistica"].corte = None
        for preso in presos:
            if preso.status == "pendente":
                await loja.cancelar(f"chave-{preso.pedido_id - PASSADO}", preso.pedido_id)
    relatorio = audit(tmp_path / "dados", settled=True)
    assert vermelhas(relatorio) == set(), impresso(relatorio)


@pytest.mark.parametrize("passo_s", [-DAY_S, DAY_S, -1.0])
async def test_o_relogio_da_maquina_ajustado_nao_e_acusado(tmp_path: Path, passo_s: float) -> None:
    """The machine's clock is set between the claim of orders and their end, again and again."""
    preparar(tmp_path / "dados")
    async with aberta(tmp_path / "dados") as loja:
        await _comprar_e_cancelar(loja, dict.fromkeys(loja.relogios, passo_s))
    relatorio = audit(tmp_path / "dados", settled=True)
    assert vermelhas(relatorio) == set(), impresso(relatorio)


async def test_uma_lapide_plantada_antes_do_pedido_e_acusada(tmp_path: Path) -> None:
    """A tombstone that somebody planted before the order was made: seen, whatever became of it."""
    preparar(tmp_path / "dados")
    async with aberta(tmp_path / "dados") as loja:
        for _ in range(ORDERS):
            await loja.criar()
        vitimas = range(PASSADO + ORDERS + 1, PASSADO + 2 * ORDERS + 1)
        for vitima in vitimas:
            corromper(
                tmp_path / "dados",
                "logistica",
                f"INSERT INTO passos VALUES ({vitima}, 'tombstone', 'solicitado', NULL)",
                f"""INSERT INTO transicoes (pedido_id, de, para, motivo, instante) VALUES
                ({vitima}, 'ausente', 'tombstone', 'solicitado', strftime(
                    '%Y-%m-%dT%H:%M:%f+00:00', 'now', '-5 seconds'))""",
            )
        respostas = [await loja.criar() for _ in vitimas]
        # The clock itself is right, as who comes later shows.
        for _ in range(ORDERS):
            await loja.criar()
    plantadas = {r.pedido_id for r in respostas if r.motivo == "solicitado"}
    assert plantadas
    relatorio = audit(tmp_path / "dados", settled=True)
    assert vermelhas(relatorio) == {"fences", "log-way", "reason"}, impresso(relatorio)
    assert acusados(relatorio) == set(vitimas)
