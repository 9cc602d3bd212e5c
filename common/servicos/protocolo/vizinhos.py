"""The other services as a service sees them: typed operations over one way to call."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Call

_POR_NOME: Final = {operacao.nome: operacao for operacao in c.OPERACOES}

Andamento = Coroutine[Any, Any, c.AndamentoResponse]


class _Vizinho:
    """A neighbour. Every failure of its operations is an ErroServico."""

    def __init__(self, call: Call) -> None:
        self._call = call


class VizinhoPedidos(_Vizinho):
    """Pedidos as its clients see it."""

    _CRIAR: Final = _POR_NOME["criar_pedido"]
    _CONSULTAR: Final = _POR_NOME["consultar_pedido"]
    _CANCELAR: Final = _POR_NOME["cancelar_pedido"]
    _CLIENTES: Final = _POR_NOME["listar_clientes"]

    def criar_pedido(
        self, ctx: Contexto, req: c.CriarPedidoRequest
    ) -> Coroutine[Any, Any, c.PedidoResponse]:
        """Place an order."""
        return self._call(self._CRIAR, ctx, req)

    def consultar_pedido(
        self, ctx: Contexto, req: c.ConsultarPedidoRequest
    ) -> Coroutine[Any, Any, c.PedidoResponse]:
        """Look it up."""
        return self._call(self._CONSULTAR, ctx, req)

    def cancelar_pedido(
        self, ctx: Contexto, req: c.CancelarPedidoRequest
    ) -> Coroutine[Any, Any, c.PedidoResponse]:
        """Cancel it."""
        return self._call(self._CANCELAR, ctx, req)

    def listar_clientes(
        self, ctx: Contexto, req: c.ListarClientesRequest
    ) -> Coroutine[Any, Any, c.ListaClientesResponse]:
        """List a page of customers."""
        return self._call(self._CLIENTES, ctx, req)


class VizinhoPagamentos(_Vizinho):
    """Pagamentos as Pedidos sees it."""

    _PROCESSAR: Final = _POR_NOME["processar_pagamento"]
    _CANCELAR: Final = _POR_NOME["cancelar_pagamento"]

    def processar_pagamento(self, ctx: Contexto, req: c.ProcessarPagamentoRequest) -> Andamento:
        """Go forward."""
        return self._call(self._PROCESSAR, ctx, req)

    def cancelar_pagamento(self, ctx: Contexto, req: c.CancelarPassoRequest) -> Andamento:
        """Cancel."""
        return self._call(self._CANCELAR, ctx, req)


class VizinhoEstoque(_Vizinho):
    """Estoque as Pagamentos and Catalogo see it."""

    _SEPARAR: Final = _POR_NOME["separar_estoque"]
    _CANCELAR: Final = _POR_NOME["cancelar_separacao"]
    _LISTAR: Final = _POR_NOME["listar_estoque"]

    def separar_estoque(self, ctx: Contexto, req: c.SepararEstoqueRequest) -> Andamento:
        """Go forward."""
        return self._call(self._SEPARAR, ctx, req)

    def cancelar_separacao(self, ctx: Contexto, req: c.CancelarPassoRequest) -> Andamento:
        """Cancel."""
        return self._call(self._CANCELAR, ctx, req)

    def listar_estoque(
        self, ctx: Contexto, req: c.ListarEstoqueRequest
    ) -> Coroutine[Any, Any, c.ListaEstoqueResponse]:
        """List the available units of every product."""
        return self._call(self._LISTAR, ctx, req)


class VizinhoFiscal(_Vizinho):
    """Fiscal as Estoque sees it."""

    _EMITIR: Final = _POR_NOME["emitir_nota_fiscal"]
    _CANCELAR: Final = _POR_NOME["cancelar_nota_fiscal"]

    def emitir_nota_fiscal(self, ctx: Contexto, req: c.EmitirNotaFiscalRequest) -> Andamento:
        """Go forward."""
        return self._call(self._EMITIR, ctx, req)

    def cancelar_nota_fiscal(self, ctx: Contexto, req: c.CancelarPassoRequest) -> Andamento:
        """Cancel."""
        return self._call(self._CANCELAR, ctx, req)


class VizinhoLogistica(_Vizinho):
    """Logistica as Fiscal sees it."""

    _AGENDAR: Final = _POR_NOME["agendar_envio"]
    _CANCELAR: Final = _POR_NOME["cancelar_envio"]

    def agendar_envio(self, ctx: Contexto, req: c.AgendarEnvioRequest) -> Andamento:
        """Go forward: the pivot."""
        return self._call(self._AGENDAR, ctx, req)

    def cancelar_envio(self, ctx: Contexto, req: c.CancelarPassoRequest) -> Andamento:
        """Fence the order, or learn that it was sent."""
        return self._call(self._CANCELAR, ctx, req)


class VizinhoCatalogo(_Vizinho):
    """Catalogo as Pedidos sees it."""

    _PRECOS: Final = _POR_NOME["consultar_precos"]
    _PRODUTOS: Final = _POR_NOME["listar_produtos"]

    def consultar_precos(
        self, ctx: Contexto, req: c.ConsultarPrecosRequest
    ) -> Coroutine[Any, Any, c.ListaPrecosResponse]:
        """Every price."""
        return self._call(self._PRECOS, ctx, req)

    def listar_produtos(
        self, ctx: Contexto, req: c.ListarProdutosRequest
    ) -> Coroutine[Any, Any, c.ListaProdutosResponse]:
        """Every product with its stock."""
        return self._call(self._PRODUTOS, ctx, req)
