"""What can be done to orders behind the services' backs, and what must turn red for it."""

from __future__ import annotations

from typing import Final, NamedTuple

from common.storage.files import SALAS

# An instant as the services write it.
AGORA: Final = "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')"
# Makes the files those of a shop that was imported before the digest of what was imported was kept.
SEM_RESUMO: Final = "".join(
    f"{nome}: DELETE FROM meta WHERE chave = 'importado';" for nome in SALAS
)


class Corrupcao(NamedTuple):
    """One kind of damage.

    `destino` picks the order that it strikes, whose id stands for {id}: one of a fate, "anulado"
    for one whose invoice was issued and then cancelled, "importado" for one of the past, "ninguem"
    for an id that nobody has. It is empty when no order can be named for the damage, which then
    strikes one that is "anulado". `vermelhas` are the checks that must turn red, and no other.
    `comandos` are statements, each after the name of its file and ended by a semicolon. `quando`
    is "viva" for a shop with orders still open, "assentada" for one in which all should have ended,
    "entre leituras" for damage that comes between the two readings of Pedidos.
    """

    nome: str
    destino: str
    vermelhas: str
    comandos: str
    quando: str = "viva"

    def por_arquivo(self, pedido_id: int) -> list[tuple[str, str]]:
        """The statements, each with the file that it goes to."""
        comandos = self.comandos.replace("AGORA", AGORA).replace("SEM_RESUMO;", SEM_RESUMO)
        textos = [texto for texto in comandos.split(";") if texto.strip()]
        partes = [texto.strip().partition(": ") for texto in textos]
        return [(arquivo, comando.format(id=pedido_id)) for arquivo, _, comando in partes]


# The statements that corrupt more than one thing leave the rest consistent on purpose, so that
# only the rule in question can notice.
DOS_PEDIDOS: Final = (
    Corrupcao(
        "pagamento esquecido",
        "enviado",
        "row-numbers shipped",
        """
pagamentos: DELETE FROM pagamentos WHERE pedido_id = {id};
pagamentos: DELETE FROM passos WHERE pedido_id = {id};
pagamentos: DELETE FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "envio esquecido",
        "enviado",
        "row-numbers shipped tracking-codes",
        """
logistica: DELETE FROM envios WHERE pedido_id = {id};
logistica: DELETE FROM passos WHERE pedido_id = {id};
logistica: DELETE FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "cobrado duas vezes",
        "enviado",
        "gateway-ledger gateway-net",
        """
gateway: UPDATE cobrancas SET cobrado_centavos = 2 * valor_centavos WHERE chave =
    'pedido-{id}';
""",
    ),
    Corrupcao(
        "nunca cobrado",
        "enviado",
        "gateway-net",
        """
gateway: DELETE FROM cobrancas WHERE chave = 'pedido-{id}';
""",
    ),
    Corrupcao(
        "cancelado e cobrado",
        "estoque_insuficiente",
        "gateway-net",
        """
gateway: UPDATE cobrancas SET estornado_centavos = 0, situacao = 'capturada' WHERE chave =
    'pedido-{id}';
""",
    ),
    Corrupcao(
        "cobranca de outro valor",
        "aberto",
        "document-values",
        """
gateway: UPDATE cobrancas SET valor_centavos = 1, cobrado_centavos = 1 WHERE chave =
    'pedido-{id}' AND situacao = 'capturada';
""",
    ),
    Corrupcao(
        "total mudado",
        "enviado",
        "document-values gateway-net order-total request-hashes",
        """
pedidos: UPDATE pedidos SET valor_total_centavos = valor_total_centavos + 1 WHERE id = {id};
""",
    ),
    Corrupcao(
        "preco de item mudado",
        "enviado",
        "order-total",
        """
pedidos: UPDATE itens_pedido SET preco_unitario_centavos = 1 WHERE pedido_id = {id} AND linha
    = 1;
""",
    ),
    Corrupcao(
        "nota de outro valor",
        "enviado",
        "document-values",
        """
fiscal: UPDATE notas_fiscais SET valor_centavos = 1 WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "pago por outro metodo",
        "enviado",
        "document-values",
        """
pagamentos: UPDATE pagamentos SET metodo = 'boleto' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "enviado com a nota de outro",
        "enviado",
        "document-values",
        """
logistica: UPDATE envios SET numero_nota = 'NF0' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "quantidade do pedido mudada",
        "enviado",
        "order-total request-hashes stock-items",
        """
pedidos: UPDATE itens_pedido SET quantidade = 9 WHERE pedido_id = {id} AND linha = 1;
""",
    ),
    Corrupcao(
        "cancelado e nunca devolvido",
        "anulado",
        "cancelled row-numbers",
        """
estoque: UPDATE passos SET estado = 'separado', motivo = NULL WHERE pedido_id = {id};
estoque: DELETE FROM transicoes WHERE pedido_id = {id} AND de <> 'ausente';
estoque: DELETE FROM movimentos WHERE pedido_id = {id} AND tipo = 'devolucao';
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque - 1 WHERE id IN (1, 2);
""",
    ),
    Corrupcao(
        "cancelado com nota valida",
        "anulado",
        "cancelled row-numbers",
        """
fiscal: UPDATE passos SET estado = 'emitida', motivo = NULL WHERE pedido_id = {id};
fiscal: DELETE FROM transicoes WHERE pedido_id = {id} AND de <> 'ausente';
fiscal: UPDATE notas_fiscais SET status = 'emitida' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "cancelado e pago",
        "anulado",
        "cancelled row-numbers",
        """
pagamentos: UPDATE passos SET estado = 'aprovado', motivo = NULL WHERE pedido_id = {id};
pagamentos: DELETE FROM transicoes WHERE pedido_id = {id} AND de <> 'ausente';
pagamentos: UPDATE pagamentos SET status = 'aprovado' WHERE pedido_id = {id};
pedidos: UPDATE pedidos SET pagamento_status = 'aprovado' WHERE id = {id};
""",
    ),
    # Without the tombstone nothing stands behind the reason any more, and the shipment has no
    # invoice to name.
    Corrupcao(
        "cancelado e enviado",
        "anulado",
        "cancelled document-values fences reason request-hashes tracking-codes",
        """
logistica: UPDATE passos SET estado = 'enviado', motivo = NULL WHERE pedido_id = {id};
logistica: UPDATE transicoes SET para = 'enviado', motivo = NULL WHERE pedido_id = {id};
logistica: INSERT INTO envios (pedido_id, codigo_rastreamento, status, data_despacho)
    SELECT pedido_id, 'BR999999999PY', 'enviado', instante FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "enviado com lapide",
        "enviado",
        "fences reason request-hashes row-numbers shipped tracking-codes",
        """
logistica: UPDATE passos SET estado = 'tombstone', motivo = 'solicitado' WHERE pedido_id =
    {id};
logistica: UPDATE transicoes SET para = 'tombstone', motivo = 'solicitado' WHERE pedido_id =
    {id};
logistica: DELETE FROM envios WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "estado terminal trocado",
        "enviado",
        "cancelled gateway-net log-pedidos log-way reason summary",
        """
pedidos: UPDATE pedidos SET status = 'cancelado', motivo = 'solicitado' WHERE id = {id};
""",
    ),
    Corrupcao(
        "resumo do pedido mudado",
        "enviado",
        "summary",
        """
pedidos: UPDATE pedidos SET envio_codigo = 'BR000000000PY' WHERE id = {id};
""",
    ),
    Corrupcao(
        "cancelado que mostra uma nota",
        "anulado",
        "summary",
        """
pedidos: UPDATE pedidos SET nota_numero = 'NF000000001' WHERE id = {id};
""",
    ),
    Corrupcao(
        "motivo de outro",
        "estoque_insuficiente",
        "log-way reason",
        """
pedidos: UPDATE pedidos SET motivo = 'pagamento_rejeitado' WHERE id = {id};
pedidos: UPDATE transicoes SET motivo = 'pagamento_rejeitado' WHERE pedido_id = {id} AND para
    = 'cancelado';
""",
    ),
    Corrupcao(
        "chave de idempotencia perdida",
        "enviado",
        "keys",
        """
pedidos: UPDATE pedidos SET chave_idempotencia = NULL WHERE id = {id};
""",
    ),
    Corrupcao(
        "resumo da requisicao perdido",
        "enviado",
        "request-hashes",
        """
pedidos: UPDATE pedidos SET resumo = NULL WHERE id = {id};
""",
    ),
    Corrupcao(
        "chave estrangeira quebrada",
        "enviado",
        "foreign-keys request-hashes",
        """
pedidos: UPDATE pedidos SET cliente_id = 9999 WHERE id = {id};
""",
    ),
    Corrupcao(
        "importado de um cliente que nao ha",
        "importado",
        "foreign-keys",
        """
SEM_RESUMO;
pedidos: UPDATE pedidos SET cliente_id = 9999 WHERE id = {id};
""",
    ),
    Corrupcao(
        "produto que nao existe",
        "enviado",
        "products request-hashes stock-items",
        """
pedidos: UPDATE itens_pedido SET produto_id = 99 WHERE pedido_id = {id} AND linha = 1;
""",
    ),
    Corrupcao(
        "produto fora do catalogo",
        "",
        "products",
        """
SEM_RESUMO;
catalogo: DELETE FROM produtos WHERE id = 5;
""",
    ),
    Corrupcao(
        "pedido perdido",
        "enviado",
        "orphans row-numbers",
        """
pedidos: DELETE FROM itens_pedido WHERE pedido_id = {id};
pedidos: DELETE FROM transicoes WHERE pedido_id = {id};
pedidos: DELETE FROM pedidos WHERE id = {id};
""",
    ),
    Corrupcao(
        "envio orfao",
        "ninguem",
        "orphans tracking-codes",
        """
logistica: INSERT INTO passos VALUES ({id}, 'enviado', NULL, x'00');
logistica: INSERT INTO transicoes (pedido_id, de, para, instante) VALUES ({id}, 'ausente',
    'enviado', AGORA);
logistica: INSERT INTO envios (pedido_id, codigo_rastreamento, status, data_despacho)
    SELECT pedido_id, 'BR999999999PY', 'enviado', instante FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "cobranca orfa",
        "ninguem",
        "orphans",
        """
gateway: INSERT INTO cobrancas VALUES ('pedido-{id}', 5, 'capturada', 5, 0, AGORA);
""",
    ),
    Corrupcao(
        "cobranca de chave alheia",
        "",
        "orphans",
        """
gateway: INSERT INTO cobrancas VALUES ('avulsa', 5, 'capturada', 5, 0, AGORA);
""",
    ),
    Corrupcao(
        "importado sem nota",
        "importado",
        "imported-history row-numbers",
        """
SEM_RESUMO;
fiscal: DELETE FROM notas_fiscais WHERE pedido_id = {id};
fiscal: DELETE FROM passos WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "produto do pedido trocado",
        "enviado",
        "order-total request-hashes stock-items",
        """
pedidos: UPDATE itens_pedido SET produto_id = 3 WHERE pedido_id = {id} AND linha = 1;
""",
    ),
    Corrupcao(
        "linha que a coluna proibe",
        "",
        "integrity",
        """
logistica: UPDATE rastreamento SET id = 2;
""",
    ),
    Corrupcao(
        "pedido que nunca termina",
        "enviado",
        "open-orders row-numbers",
        """
pedidos: UPDATE pedidos SET status = 'pendente', pagamento_status = NULL, nota_numero = NULL,
    nota_chave = NULL, envio_codigo = NULL, envio_status = NULL WHERE id = {id};
pedidos: DELETE FROM transicoes WHERE pedido_id = {id} AND de <> 'ausente';
""",
        "assentada",
    ),
    Corrupcao(
        "cobranca sem pedido",
        "ninguem",
        "money-sums orphans",
        """
gateway: INSERT INTO cobrancas VALUES ('pedido-{id}', 5, 'capturada', 5, 0, AGORA);
""",
        "assentada",
    ),
    Corrupcao(
        "estado terminal que muda",
        "enviado",
        "terminal-stable",
        """
pedidos: UPDATE pedidos SET status = 'cancelado', motivo = 'solicitado' WHERE id = {id};
""",
        "entre leituras",
    ),
)
