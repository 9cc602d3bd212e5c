"""A possible past: the orders of the 90 days before the reference date, drawn from a seed.

Orders are numbered in the order of their creation. What follows an order happens strictly later,
after a delay of its own; what would happen after the reference instant, the first instant of the
reference date, has not happened. Documents and statuses are therefore one story:

    nothing paid, or a boleto not yet cleared    pendente
    payment rejected                             cancelado, and nothing further
    approved, no invoice                         pagamento_aprovado or em_separacao
    invoiced, parcel absent or waiting           nf_emitida
    parcel dispatched, or delivered              enviado, or entregue

Only comparisons and elementary arithmetic on random numbers: the same on every machine.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from common.servicos.protocolo.chave_acesso import CODIGO_MAX, montar_chave
from common.shop.schema import METODOS_PAGAMENTO

if TYPE_CHECKING:
    from collections.abc import Iterator

DIAS: Final = 90
ITENS_MAX: Final = 5
UNIDADES_MAX: Final = 3

# Shares of the course's material: of the orders paid, of these approved, of these invoiced, of
# these booked.
PAGOS: Final = 0.8
APROVADOS: Final = 0.9
FATURADOS: Final = 0.9
ENVIADOS: Final = 0.95
# Ours: of the approved orders without an invoice, those whose items are already being picked.
EM_SEPARACAO: Final = 0.5

# The longest delay of each event after the one before it, in seconds.
_HORA_S: Final = 3_600
_DIA_S: Final = 24 * _HORA_S
PAGAMENTO_S: Final = _HORA_S // 4
CATCH_UP_S: Final = 3 * _DIA_S  # a boleto clears in up to three days
NOTA_S: Final = 12 * _HORA_S
DESPACHO_S: Final = 2 * _DIA_S
ENTREGA_S: Final = 6 * _DIA_S  # after the first day, within which nothing arrives

# A series of its own, so that no past invoice shares its fiscal number with one of the services'.
HISTORY_SERIES: Final = 2

# Tracking numbers have nine digits, the first not 0. Stepping by a number that shares no factor
# with how many there are visits each once: no code repeats, and they look drawn at random.
_CODIGO_MENOR: Final = 100_000_000
_CODIGOS: Final = 900_000_000
_PASSO_CODIGO: Final = 556_231_019

PedidoLinha = tuple[int, int, str, str, float]
ItemLinha = tuple[int, int, int, float]
PagamentoLinha = tuple[int, str, str, str]
NotaLinha = tuple[int, int, str, str, str]
EnvioLinha = tuple[int, int, str | None, str, str]


class Lote(NamedTuple):
    """Rows of some consecutive orders; the fields are the tables, in the order of reference."""

    pedidos: list[PedidoLinha]
    itens_pedido: list[ItemLinha]
    pagamentos: list[PagamentoLinha]
    notas_fiscais: list[NotaLinha]
    envios: list[EnvioLinha]


class Historico:
    """The past orders of a shop, a batch at a time."""

    def __init__(
        self, *, semente: int, data: date, clientes: int, precos_centavos: list[int], pedidos: int
    ) -> None:
        """A past of `pedidos` orders before `data`; customers and products are numbered from 1."""
        # A text seed is hashed whole: neighbouring seeds give unrelated streams.
        gerador = Random(f"{semente}/pedidos")
        self._sortear = gerador.random
        self._precos = precos_centavos
        self._clientes = clientes
        self._pedidos = pedidos
        self._dias = [data + timedelta(dias - DIAS) for dias in range(DIAS)]
        self._datas = [dia.isoformat() for dia in self._dias]
        # Formatting a time costs more than looking its two halves up.
        self._minutos = [f"T{m // 60:02d}:{m % 60:02d}:" for m in range(24 * 60)]
        self._segundos = [f"{s:02d}" for s in range(60)]
        self._fim = DIAS * _DIA_S
        self._notas = 0
        self._codigo = gerador.randrange(_CODIGOS)

    def lotes(self, tamanho: int) -> Iterator[Lote]:
        """Every order once, at most `tamanho` a batch; to be iterated once."""
        for primeiro in range(0, self._pedidos, tamanho):
            lote = Lote([], [], [], [], [])
            for indice in range(primeiro, min(primeiro + tamanho, self._pedidos)):
                self._pedido(indice, lote)
            yield lote

    def _pedido(self, indice: int, lote: Lote) -> None:
        sortear = self._sortear
        pedido_id = indice + 1
        cliente_id = 1 + int(sortear() * self._clientes)
        # One order in each of equal slices of the period: ascending, with nothing to sort.
        criado = min(int((indice + sortear()) * self._fim / self._pedidos), self._fim - 1)
        total = self._itens(pedido_id, lote)
        status = self._pagamento(pedido_id, criado, lote) if sortear() < PAGOS else "pendente"
        lote.pedidos.append((pedido_id, cliente_id, self._texto(criado), status, total / 100))

    def _itens(self, pedido_id: int, lote: Lote) -> int:
        sortear, precos = self._sortear, self._precos
        produtos = len(precos)
        faltam = min(1 + int(sortear() * ITENS_MAX), produtos)
        total = 0
        escolhidos: list[int] = []
        while faltam:
            produto = int(sortear() * produtos)
            if produto in escolhidos:
                continue
            escolhidos.append(produto)
            faltam -= 1
            quantidade = 1 + int(sortear() * UNIDADES_MAX)
            preco = precos[produto]
            total += quantidade * preco
            lote.itens_pedido.append((pedido_id, produto + 1, quantidade, preco / 100))
        return total

    def _pagamento(self, pedido_id: int, criado: int, lote: Lote) -> str:
        pedido = criado + self._atraso(PAGAMENTO_S)
        if pedido >= self._fim:
            return "pendente"
        metodo = METODOS_PAGAMENTO[int(self._sortear() * len(METODOS_PAGAMENTO))]
        decidido = pedido + self._atraso(CATCH_UP_S) if metodo == "boleto" else pedido
        if decidido >= self._fim:
            lote.pagamentos.append((pedido_id, self._texto(pedido), "pendente", metodo))
            return "pendente"
        aprovado = self._sortear() < APROVADOS
        status = "aprovado" if aprovado else "rejeitado"
        lote.pagamentos.append((pedido_id, self._texto(decidido), status, metodo))
        return self._nota(pedido_id, decidido, lote) if aprovado else "cancelado"

    def _nota(self, pedido_id: int, pago: int, lote: Lote) -> str:
        emitida = pago + self._atraso(NOTA_S)
        if self._sortear() >= FATURADOS or emitida >= self._fim:
            return "em_separacao" if self._sortear() < EM_SEPARACAO else "pagamento_aprovado"
        self._notas += 1
        chave = montar_chave(
            emitida_em=self._dias[emitida // _DIA_S],
            numero=self._notas,
            codigo=int(self._sortear() * (CODIGO_MAX + 1)),
            serie=HISTORY_SERIES,
        )
        # The dash keeps these numbers apart from the services' own, NF and nine digits.
        numero = f"NF{self._notas:05d}-{pedido_id}"
        lote.notas_fiscais.append((self._notas, pedido_id, numero, self._texto(emitida), chave))
        enviado = self._sortear() < ENVIADOS
        return self._envio(pedido_id, emitida, lote) if enviado else "nf_emitida"

    def _envio(self, pedido_id: int, emitida: int, lote: Lote) -> str:
        despachado = emitida + self._atraso(DESPACHO_S)
        entregue = despachado + _DIA_S + self._atraso(ENTREGA_S)
        # A third waits, a third travels, a third has arrived, as far as time allows.
        terco = int(self._sortear() * 3)
        despacho: str | None = None
        status = "aguardando_envio"
        if terco and despachado < self._fim:
            despacho = self._texto(despachado)
            status = "entregue" if terco > 1 and entregue < self._fim else "enviado"
        self._codigo = (self._codigo + _PASSO_CODIGO) % _CODIGOS
        codigo = f"BR{_CODIGO_MENOR + self._codigo}PY"
        lote.envios.append((pedido_id, self._notas, despacho, codigo, status))
        return status if despacho else "nf_emitida"

    def _atraso(self, maximo_s: int) -> int:
        return 1 + int(self._sortear() * maximo_s)

    def _texto(self, instante: int) -> str:
        dia, segundo = divmod(instante, _DIA_S)
        return f"{self._datas[dia]}{self._minutos[segundo // 60]}{self._segundos[segundo % 60]}"
