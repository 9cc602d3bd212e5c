"""What can be done to what an order was asked with, to how it ended and when, and to the import."""

from __future__ import annotations

from typing import Final

from tests.support.audit_corruptions import Corrupcao

DOS_FATOS: Final = (
    Corrupcao(
        "resumo da requisicao trocado",
        "enviado",
        "request-hashes",
        """
pedidos: UPDATE pedidos SET resumo = zeroblob(16) WHERE id = {id};
""",
    ),
    Corrupcao(
        "resumo de um passo trocado",
        "enviado",
        "request-hashes",
        """
logistica: UPDATE passos SET resumo = zeroblob(16) WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "outro cliente",
        "aberto",
        "request-hashes",
        """
pedidos: UPDATE pedidos SET cliente_id = 2 WHERE id = {id};
""",
    ),
    Corrupcao(
        "outro metodo",
        "enviado",
        "request-hashes",
        """
pedidos: UPDATE pedidos SET metodo = 'boleto' WHERE id = {id};
pagamentos: UPDATE pagamentos SET metodo = 'boleto' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "chave que ninguem pode mandar",
        "enviado",
        "keys",
        """
pedidos: UPDATE pedidos SET chave_idempotencia = ' chave' WHERE id = {id};
""",
    ),
    Corrupcao(
        "preco passado de uma linha a outra",
        "enviado",
        "order-total",
        """
pedidos: UPDATE itens_pedido SET preco_unitario_centavos = preco_unitario_centavos + 3 - 2 *
    linha WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "linhas com um salto",
        "enviado",
        "order-total",
        """
pedidos: UPDATE itens_pedido SET linha = 7 WHERE pedido_id = {id} AND linha = 2;
""",
    ),
    Corrupcao(
        "todos os livros a outro preco",
        "enviado",
        "order-total request-hashes",
        """
pedidos: UPDATE itens_pedido SET preco_unitario_centavos = preco_unitario_centavos - 1 WHERE
    pedido_id = {id} AND linha = 1;
pedidos: UPDATE pedidos SET valor_total_centavos = valor_total_centavos - 1 WHERE id = {id};
pagamentos: UPDATE pagamentos SET valor_centavos = valor_centavos - 1 WHERE pedido_id = {id};
fiscal: UPDATE notas_fiscais SET valor_centavos = valor_centavos - 1 WHERE pedido_id = {id};
gateway: UPDATE cobrancas SET valor_centavos = valor_centavos - 1, cobrado_centavos =
    cobrado_centavos - 1 WHERE chave = 'pedido-{id}';
""",
    ),
    Corrupcao(
        "recusa que o gateway nao conhece",
        "pagamento_rejeitado",
        "gateway-net",
        """
gateway: DELETE FROM cobrancas WHERE chave = 'pedido-{id}';
""",
    ),
    Corrupcao(
        "recusa de uma chave so anulada",
        "pagamento_rejeitado",
        "gateway-net",
        """
gateway: UPDATE cobrancas SET situacao = 'anulada', valor_centavos = NULL WHERE chave =
    'pedido-{id}';
""",
    ),
    Corrupcao(
        "estorno que o gateway nao conhece",
        "anulado",
        "gateway-net",
        """
gateway: DELETE FROM cobrancas WHERE chave = 'pedido-{id}';
""",
    ),
    Corrupcao(
        "cobrado e devolvido sem valor",
        "anulado",
        "gateway-ledger",
        """
gateway: UPDATE cobrancas SET valor_centavos = NULL, cobrado_centavos = 1000000000,
    estornado_centavos = 1000000000 WHERE chave = 'pedido-{id}';
""",
    ),
    Corrupcao(
        "aberto que ja mostra o pagamento",
        "aberto",
        "summary",
        """
pedidos: UPDATE pedidos SET pagamento_status = 'aprovado' WHERE id = {id};
""",
    ),
    Corrupcao(
        "separado a mais",
        "enviado",
        "stock-items",
        """
estoque: UPDATE movimentos SET quantidade = quantidade - 1 WHERE pedido_id = {id} AND
    produto_id = 2;
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque - 1 WHERE id = 2;
""",
    ),
    Corrupcao(
        "situacao do envio mudada nos dois",
        "enviado",
        "documents-logistica",
        """
logistica: UPDATE envios SET status = 'entregue' WHERE pedido_id = {id};
pedidos: UPDATE pedidos SET envio_status = 'entregue' WHERE id = {id};
""",
    ),
    Corrupcao(
        "motivo de um servico so",
        "anulado",
        "reason",
        """
logistica: UPDATE passos SET motivo = 'expirado' WHERE pedido_id = {id};
logistica: UPDATE transicoes SET motivo = 'expirado' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "lapide apagada",
        "solicitado",
        "reason row-numbers",
        """
fiscal: DELETE FROM passos WHERE pedido_id = {id};
fiscal: DELETE FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "motivo desconhecido de um aberto",
        "aberto",
        "status-words",
        """
pedidos: UPDATE pedidos SET motivo = 'capricho' WHERE id = {id};
pedidos: UPDATE transicoes SET motivo = 'capricho' WHERE pedido_id = {id} AND motivo NOT NULL;
""",
    ),
    Corrupcao(
        "registro de um aberto sem o seu comeco",
        "aberto",
        "log-pedidos row-numbers",
        """
pedidos: DELETE FROM transicoes WHERE pedido_id = {id} AND de = 'ausente';
""",
    ),
    Corrupcao(
        "registro de uma recusa encurtado",
        "estoque_insuficiente",
        "log-way row-numbers",
        """
pedidos: DELETE FROM transicoes WHERE pedido_id = {id} AND para = 'pagamento_aprovado';
pedidos: UPDATE transicoes SET de = 'pendente' WHERE pedido_id = {id} AND para = 'cancelado';
""",
    ),
    Corrupcao(
        "expirado sem que ninguem desistisse",
        "estoque_insuficiente",
        "log-way",
        """
pedidos: UPDATE pedidos SET motivo = 'expirado' WHERE id = {id};
pedidos: UPDATE transicoes SET motivo = 'expirado' WHERE pedido_id = {id} AND para = 'cancelado';
""",
    ),
    Corrupcao(
        "cancelado sem ter sido cancelando",
        "anulado",
        "fences log-way row-numbers",
        """
pedidos: DELETE FROM transicoes WHERE pedido_id = {id} AND para = 'cancelando';
pedidos: UPDATE transicoes SET de = 'pendente' WHERE pedido_id = {id} AND para = 'cancelado';
""",
    ),
    Corrupcao(
        "lapide mais velha que o pedido",
        "anulado",
        "fences",
        """
logistica: UPDATE transicoes SET instante = strftime('%Y-%m-%dT%H:%M:%f+00:00', instante,
    '-1 minute') WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "envio de 1999",
        "enviado",
        "instants",
        """
logistica: UPDATE envios SET data_despacho = '1999-12-31T23:59:59.999+00:00' WHERE pedido_id =
    {id};
logistica: UPDATE transicoes SET instante = '1999-12-31T23:59:59.999+00:00' WHERE pedido_id =
    {id};
""",
    ),
    Corrupcao(
        "envio sem data",
        "enviado",
        "instants",
        """
logistica: UPDATE envios SET data_despacho = NULL WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "estorno de um dia que nao ha",
        "anulado",
        "instants",
        """
pagamentos: UPDATE transicoes SET instante = '2026-13-41T00:00:00.000+00:00' WHERE pedido_id =
    {id} AND para = 'estornado';
""",
    ),
    Corrupcao(
        "fim antes do comeco",
        "enviado",
        "instants",
        """
pedidos: UPDATE transicoes SET instante = strftime('%Y-%m-%dT%H:%M:%f+00:00', instante,
    '+1 minute') WHERE pedido_id = {id} AND de = 'ausente';
""",
    ),
    Corrupcao(
        "codigo de rastreamento vazio",
        "enviado",
        "tracking-codes",
        """
logistica: UPDATE envios SET codigo_rastreamento = '' WHERE pedido_id = {id};
pedidos: UPDATE pedidos SET envio_codigo = '' WHERE id = {id};
""",
    ),
    Corrupcao(
        "codigo de rastreamento adiantado",
        "enviado",
        "tracking-codes",
        """
logistica: UPDATE envios SET codigo_rastreamento = 'BR000000999PY' WHERE pedido_id = {id};
pedidos: UPDATE pedidos SET envio_codigo = 'BR000000999PY' WHERE id = {id};
""",
    ),
    Corrupcao(
        "pedido recusado apagado em toda parte",
        "pagamento_rejeitado",
        "row-numbers",
        """
pedidos: DELETE FROM itens_pedido WHERE pedido_id = {id};
pedidos: DELETE FROM transicoes WHERE pedido_id = {id};
pedidos: DELETE FROM pedidos WHERE id = {id};
pagamentos: DELETE FROM pagamentos WHERE pedido_id = {id};
pagamentos: DELETE FROM passos WHERE pedido_id = {id};
pagamentos: DELETE FROM transicoes WHERE pedido_id = {id};
gateway: DELETE FROM cobrancas WHERE chave = 'pedido-{id}';
""",
    ),
    Corrupcao(
        "indice apagado",
        "",
        "schema",
        """
pedidos: DROP INDEX pedidos_abertos;
""",
    ),
    Corrupcao(
        "coluna acrescentada",
        "",
        "schema",
        """
gateway: ALTER TABLE cobrancas ADD COLUMN moeda TEXT;
""",
    ),
    Corrupcao(
        "preco do catalogo mudado",
        "",
        "imported-rows",
        """
catalogo: UPDATE produtos SET preco_centavos = preco_centavos + 1 WHERE id = 5;
""",
    ),
    Corrupcao(
        "produto com outro nome",
        "",
        "imported-rows",
        """
catalogo: UPDATE produtos SET nome = 'Outro' WHERE id = 1;
""",
    ),
    Corrupcao(
        "cliente com outro nome",
        "",
        "imported-rows",
        """
pedidos: UPDATE clientes SET nome = 'Outro' WHERE id = 1;
""",
    ),
    Corrupcao(
        "abertura mudada com o saldo",
        "",
        "imported-rows",
        """
estoque: UPDATE movimentos SET quantidade = quantidade + 1 WHERE tipo = 'abertura' AND
    produto_id = 4;
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque + 1 WHERE id = 4;
""",
    ),
    Corrupcao(
        "um so arquivo sem o resumo do que importou",
        "",
        "imported-rows",
        """
catalogo: DELETE FROM meta WHERE chave = 'importado';
""",
    ),
)
